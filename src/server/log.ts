import { styleText } from "node:util";
import { pino } from "pino";
import type { LogFormat, LogLevel } from "../config/index.ts";
import type { Logger } from "../runs/index.ts";
import { prettyLine } from "./pretty-line.ts";

export interface LogOptions {
  readonly level: LogLevel;
  /** Absent for JSON, or for people where it goes to a terminal. */
  readonly format?: LogFormat | undefined;
  /** Takes out of a line, which is JSON, what must not be in it, wherever in it that comes from. */
  readonly redact: (line: string) => string;
  /** Default: standard output. */
  readonly destination?: LogDestination;
}

export interface LogDestination {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Lines on standard output: JSON, or what a person likes to read. */
export function createLog({ level, format, redact, destination }: LogOptions): Logger {
  const options = { level, hooks: { streamWrite: redact } };
  const { isTTY = false } = destination ?? process.stdout;
  const pretty = format === undefined ? isTTY && process.env["TERM"] !== "dumb" : format === "pretty";
  if (!pretty) return destination === undefined ? pino(options) : pino(options, destination);
  const output = destination ?? process.stdout;
  // Whether there are colours is up to the terminal, and to NO_COLOR.
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    isTTY ? styleText(style, text, { stream: process.stdout }) : text;
  return pino(options, { write: (line: string) => output.write(prettyLine(line, paint)) });
}
