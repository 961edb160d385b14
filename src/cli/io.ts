import type { Clock, RandomSource } from "../clock.ts";
import type { HostProcess } from "../server/index.ts";

/** Where a command writes. */
export interface CliOutput {
  write(text: string): unknown;
}

/** Everything that a command may know of the world. */
export interface CliIo {
  /** What was asked for. */
  readonly stdout: CliOutput;
  /** What is wrong, and what to do next. */
  readonly stderr: CliOutput;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Whether standard output is a terminal that can be drawn on. */
  readonly isTTY: boolean;
  /** How wide the terminal is right now. */
  readonly columns: number;
  /** And how tall. */
  readonly rows: number;
  /** Calls back whenever the terminal's size changes, until the returned function is called. */
  onResize(listener: () => void): () => void;
  /** Calls back on each SIGHUP, which then interrupts nothing, until the returned function is called. */
  onHangup?(listener: () => void): () => void;
  /** The process, where nothing else runs in it: whoever serves answers for it. */
  readonly process?: HostProcess;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Aborted when the command is interrupted. */
  readonly signal: AbortSignal;
}

/** Writes whole lines. */
export function writeLines(output: CliOutput, ...lines: readonly string[]): void {
  for (const line of lines) output.write(`${line}\n`);
}
