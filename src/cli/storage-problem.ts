import { BackupError } from "../runs/sqlite/index.ts";
import { CliError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";

/** Carries out work on a data directory. What an operator can mend is told without a stack. */
export async function onStorage<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw signal.aborted ? error : told(error);
  }
}

function told(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof BackupError || error.name === "JournalOpenError") {
    const { reason } = error as { readonly reason?: unknown };
    return new CliError(error.message, reason === "damaged" ? ExitCode.damaged : ExitCode.refused, { cause: error });
  }
  return "code" in error ? new CliError(error.message, ExitCode.refused, { cause: error }) : error;
}
