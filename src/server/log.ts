import { pino } from "pino";
import type { LogLevel } from "../config/index.ts";
import type { Logger } from "../runs/index.ts";

/**
 * JSON lines on standard output.
 *
 * @param redact takes out of a line what must not be in it, wherever in it that comes from
 */
export function createLog(
  level: LogLevel,
  redact: (line: string) => string,
  destination?: { write(line: string): void },
): Logger {
  const options = { level, hooks: { streamWrite: redact } };
  return destination === undefined ? pino(options) : pino(options, destination);
}
