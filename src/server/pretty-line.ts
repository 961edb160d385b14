import type { styleText } from "node:util";
import { plainText } from "../plain-text.ts";

type Style = Parameters<typeof styleText>[0];

/** By the numbers of pino. */
const levels: ReadonlyMap<unknown, readonly [name: string, style: Style]> = new Map([
  [10, ["TRACE", "gray"]],
  [20, ["DEBUG", "gray"]],
  [30, ["INFO", "green"]],
  [40, ["WARN", "yellow"]],
  [50, ["ERROR", "red"]],
  [60, ["FATAL", ["bold", "red"]]],
]);

/** What every line has, and a person knows. */
const known: ReadonlySet<string> = new Set(["level", "time", "pid", "hostname", "msg", "err"]);

/**
 * A line of the log, which is JSON, for people: time, level and message, then what belongs to it, and below that the stack
 * of an error. Nothing of it can move a terminal's cursor or pretend to be another line.
 *
 * @param paint gives text a colour, or leaves it as it is
 */
export function prettyLine(line: string, paint: (style: Style, text: string) => string): string {
  let entry: Readonly<Record<string, unknown>>;
  try {
    entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    // Better than nothing.
    return `${plainText(line)}\n`;
  }
  const [level, style] = levels.get(entry["level"]) ?? [String(entry["level"]), "gray"];
  const fields = Object.entries(entry)
    .filter(([name]) => !known.has(name))
    .map(([name, value]) => `${paint("gray", `${plainText(name)}=`)}${valueText(value)}`);
  const { msg, time } = entry;
  const head = [paint("gray", clockTime(Number(time))), paint(style, level.padEnd(5)), plainText(String(msg ?? ""))];
  return `${[...head, ...fields].join(" ")}\n${errorText(entry["err"])}`;
}

/** Of the day, by the clock of this machine. */
function clockTime(timeMs: number): string {
  const time = new Date(timeMs);
  if (Number.isNaN(time.getTime())) return "?";
  const two = (number: number): string => String(number).padStart(2, "0");
  const seconds = `${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  return `${two(time.getHours())}:${two(time.getMinutes())}:${seconds}`;
}

function valueText(value: unknown): string {
  if (typeof value === "string" && /^[^\s"=]+$/.test(value)) return plainText(value);
  return plainText(JSON.stringify(value));
}

function errorText(error: unknown): string {
  if (error === undefined || error === null) return "";
  const { stack, message } = error as { readonly stack?: unknown; readonly message?: unknown };
  const text = String(stack ?? message ?? JSON.stringify(error));
  return text
    .split("\n")
    .map((line) => `    ${/^\s*/.exec(line)?.[0] ?? ""}${plainText(line)}\n`)
    .join("");
}
