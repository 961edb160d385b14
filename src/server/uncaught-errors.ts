import { withheldError } from "../backends/index.ts";
import type { Clock, RandomSource } from "../clock.ts";
import { type AttemptScopes, type Crash, type Logger, uncaughtFailure } from "../runs/index.ts";
import { runFields } from "../trace-fields.ts";

/** What a server needs of the process that it answers for. */
export interface HostProcess {
  on(event: "unhandledRejection" | "uncaughtException", listener: (error: unknown) => void): unknown;
  off(event: "unhandledRejection" | "uncaughtException", listener: (error: unknown) => void): unknown;
  exit(code: number): void;
}

export interface UncaughtErrorsOptions {
  readonly process: HostProcess;
  readonly scopes: AttemptScopes;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Writes at once; `fatal` where it has such a level. */
  readonly log: Logger & { fatal?(fields: object, message: string): void };
  /** Leaves word for the next start. */
  note(crash: Crash): void;
}

/**
 * Decides over errors that nobody catches, until the returned function is called. A promise that an attempt leaves to
 * reject fails the attempt: nothing else is the worse for it. After an exception that nothing has caught Node warrants for
 * nothing, so the process ends, and leaves word of the attempt whose it was. It ends by a rejection that is nobody's, too.
 */
export function answerFor({ process, scopes, clock, random, log, note }: UncaughtErrorsOptions): () => void {
  const describe = (error: unknown) => {
    const scope = scopes.current;
    const failure = uncaughtFailure(error, random, clock.now());
    const { referenceId } = failure;
    const err = withheldError(error, scope?.withheld ?? []);
    const fields =
      scope === undefined
        ? { err, referenceId }
        : {
            ...{ err, ...runFields(scope.accepted, scope.attempt) },
            ...{ workflow: scope.accepted.workflow, attempt: scope.attempt, referenceId },
          };
    return { scope, failure, fields };
  };
  const end = (fields: object, message: string): void => {
    try {
      if (log.fatal === undefined) log.error(fields, message);
      else log.fatal(fields, message);
    } finally {
      process.exit(1);
    }
  };
  const onRejection = (error: unknown): void => {
    const { scope, failure, fields } = describe(error);
    if (scope === undefined) {
      end(fields, "a promise has rejected that nobody awaits, of no attempt of a handler; the server stops");
    } else if (scope.fail?.(failure) === true) {
      log.error(fields, "an attempt fails: its handler left a promise to reject that nobody awaits");
    } else {
      const which = scope.isOver ? "is over" : "has been told to stop";
      log.error(fields, `the handler of an attempt that ${which} left a promise to reject that nobody awaits`);
    }
  };
  const onException = (error: unknown): void => {
    const { scope, failure, fields } = describe(error);
    if (scope === undefined) {
      end(fields, "an error was caught by nobody, of no attempt of a handler; the server stops");
      return;
    }
    try {
      note({ runId: scope.accepted.runId, token: scope.token, failure, atMs: clock.now() });
    } catch (noteError) {
      log.error({ err: noteError }, "the next start cannot be told which attempt has ended the server");
    } finally {
      const then = scope.isOver ? "" : ", and its next start fails the attempt";
      end(fields, `an error of a handler was caught by nobody; the server stops${then}`);
    }
  };
  process.on("unhandledRejection", onRejection);
  process.on("uncaughtException", onException);
  return () => {
    process.off("unhandledRejection", onRejection);
    process.off("uncaughtException", onException);
  };
}
