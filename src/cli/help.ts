import type { Command, CommandEntry, Flags } from "./command.ts";
import { exitCodeMeanings } from "./exit-code.ts";
import { commonFlags, connectionFlags, rootFlags } from "./global-flags.ts";

/** What `retake --help` shows. */
export function rootHelp(commands: ReadonlyMap<string, CommandEntry>, width: number): string {
  const table = tableIn(width);
  return sections(
    "Runs workflows that fail and get retaken, and shows what they do.",
    `Usage: retake COMMAND [ARGUMENTS] [FLAGS]\n       retake COMMAND --help`,
    `Commands:\n${table([...commands].map(([name, { summary }]) => [name, summary]))}`,
    `Flags:\n${table(flagRows({ ...rootFlags, ...connectionFlags, ...commonFlags }))}`,
    `Exit codes:\n${table(exitCodeMeanings.map(([code, meaning]) => [String(code), meaning]))}`,
  );
}

/** What `retake runs --help` shows. */
export function groupHelp(group: string, commands: ReadonlyMap<string, CommandEntry>, width: number): string {
  const table = tableIn(width);
  const members = [...commands].filter(([name]) => name.startsWith(`${group} `));
  return sections(
    `Usage: retake ${group} COMMAND [ARGUMENTS] [FLAGS]`,
    `Commands:\n${table(members.map(([name, { summary }]) => [name, summary]))}`,
  );
}

/** What `retake run --help` shows. */
export function commandHelp(name: string, command: Command, width: number): string {
  const table = tableIn(width);
  const { positionals, flags, examples, local } = command;
  const names = positionals.map((each) => (each.optional === true ? ` [${each.name}]` : ` ${each.name}`)).join("");
  return sections(
    wrap(command.description, width).join("\n"),
    `Usage: retake ${name}${names} [FLAGS]`,
    positionals.length > 0 && `Arguments:\n${table(positionals.map((each) => [each.name, each.description]))}`,
    `Flags:\n${table(flagRows({ ...flags, ...commonFlags, ...flags }))}`,
    local !== true && `Flags for the connection:\n${table(flagRows(connectionFlags))}`,
    examples.length > 0 && `Examples:\n${examples.map(([line, does]) => `  # ${does}\n  ${line}`).join("\n")}`,
    `Exit codes:\n${table(exitCodeMeanings.map(([code, meaning]) => [String(code), meaning]))}`,
  );
}

function sections(...parts: readonly (string | false)[]): string {
  return `${parts.filter((part) => part !== false).join("\n\n")}\n`;
}

type Row = readonly [left: string, right: string];

function flagRows(flags: Flags): Row[] {
  return Object.entries(flags).map(([name, { short, value, multiple, description }]) => [
    `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
    `${description}${multiple === true ? "; may be repeated" : ""}`,
  ]);
}

/** Lines up rows; what stands on the right is wrapped. */
function tableIn(width: number): (rows: readonly Row[]) => string {
  return (rows) => {
    const left = Math.max(...rows.map(([text]) => text.length));
    const indent = " ".repeat(left + 4);
    return rows
      .map(([name, text]) => `  ${name.padEnd(left)}  ${wrap(text, width - left - 4).join(`\n${indent}`)}`)
      .join("\n");
  };
}

/** Breaks a text between words. A terminal that is too narrow for anything breaks lines itself. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > Math.max(20, width)) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
