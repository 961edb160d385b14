import type { Logger } from "../../runs/index.ts";

/** One line of a log. */
export interface LogLine {
  readonly level: keyof Logger;
  readonly fields: object;
  readonly message: string;
  readonly timeMs: number;
}

/** Lines that are kept until somebody takes them: those of a start. */
const mostKept = 1_000;

/** A log that tells somebody else what it is told. */
export class ForwardedLog implements Logger {
  readonly #log: Logger;
  readonly #now: () => number;
  #take: ((line: LogLine) => void) | undefined;
  #kept: LogLine[] = [];

  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** Hands on every line from now on, after those that there were before. */
  forward(take: (line: LogLine) => void): void {
    for (const line of this.#kept.splice(0)) take(line);
    this.#take = take;
  }

  debug(fields: object, message: string): void {
    // Nobody wants all of those on another machine.
    this.#log.debug(fields, message);
  }

  info(fields: object, message: string): void {
    this.#log.info(fields, message);
    this.#forward("info", fields, message);
  }

  warn(fields: object, message: string): void {
    this.#log.warn(fields, message);
    this.#forward("warn", fields, message);
  }

  error(fields: object, message: string): void {
    this.#log.error(fields, message);
    this.#forward("error", fields, message);
  }

  #forward(level: keyof Logger, fields: object, message: string): void {
    const line: LogLine = { level, fields, message, timeMs: this.#now() };
    if (this.#take !== undefined) this.#take(line);
    else if (this.#kept.length < mostKept) this.#kept.push(line);
  }
}
