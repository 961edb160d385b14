import { format } from "node:util";
import type { ServerOptions } from "retake";
import { type CliOutput, writeLines } from "../../../src/cli/io.ts";

type Log = NonNullable<ServerOptions["log"]>;

/** The server's log for the eyes of a person: warnings and errors, held back while there is no room for them. */
export interface ServerLog extends Log {
  /** Writes what was held back, and from now on everything as it comes. */
  release(): void;
}

export function createServerLog(output: CliOutput): ServerLog {
  const held: string[] = [];
  let write = (line: string): void => void held.push(line);
  const tell = (level: string) => (fields: object, message: string) => {
    write(`server: ${level}: ${message} ${format("%o", fields)}`);
  };
  return {
    debug() {},
    info() {},
    warn: tell("warning"),
    error: tell("error"),
    release() {
      write = (line) => writeLines(output, line);
      for (const line of held.splice(0)) write(line);
    },
  };
}
