import type { Command, CommandEntry, Flags } from "./command.ts";
import { exitCodeMeanings } from "./exit-code.ts";
import { commonFlags, connectionFlags, rootFlags } from "./global-flags.ts";

/** What `retake --help` shows. */
export function rootHelp(commands: ReadonlyMap<string, CommandEntry>): string {
  return sections(
    "Runs workflows that fail and get retaken, and shows what they do.",
    `Usage: retake COMMAND [ARGUMENTS] [FLAGS]\n       retake COMMAND --help`,
    `Commands:\n${table([...commands].map(([name, { summary }]) => [name, summary]))}`,
    `Flags:\n${flagTable({ ...rootFlags, ...connectionFlags, ...commonFlags })}`,
    exitCodes(),
  );
}

/** What `retake runs --help` shows. */
export function groupHelp(group: string, commands: ReadonlyMap<string, CommandEntry>): string {
  const members = [...commands].filter(([name]) => name.startsWith(`${group} `));
  return sections(
    `Usage: retake ${group} COMMAND [ARGUMENTS] [FLAGS]`,
    `Commands:\n${table(members.map(([name, { summary }]) => [name, summary]))}`,
  );
}

/** What `retake run --help` shows. */
export function commandHelp(name: string, command: Command): string {
  const { positionals, flags, examples, local } = command;
  const names = positionals.map((each) => (each.optional === true ? ` [${each.name}]` : ` ${each.name}`)).join("");
  return sections(
    command.description,
    `Usage: retake ${name}${names} [FLAGS]`,
    positionals.length > 0 && `Arguments:\n${table(positionals.map((each) => [each.name, each.description]))}`,
    `Flags:\n${flagTable({ ...flags, ...commonFlags })}`,
    local !== true && `Flags for the connection:\n${flagTable(connectionFlags)}`,
    examples.length > 0 && `Examples:\n${examples.map(([line, does]) => `  # ${does}\n  ${line}`).join("\n")}`,
    exitCodes(),
  );
}

function sections(...parts: readonly (string | false)[]): string {
  return `${parts.filter((part) => part !== false).join("\n\n")}\n`;
}

function exitCodes(): string {
  return `Exit codes:\n${table(exitCodeMeanings.map(([code, meaning]) => [String(code), meaning]))}`;
}

function flagTable(flags: Flags): string {
  return table(
    Object.entries(flags).map(([name, { short, value, multiple, description }]) => [
      `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
      `${description}${multiple === true ? "; may be repeated" : ""}`,
    ]),
  );
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
