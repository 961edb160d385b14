import { suggestion } from "../nearest-name.ts";
import { parseArguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";
import { commands } from "./commands/index.ts";
import { ExitCode } from "./exit-code.ts";
import { explainError } from "./explain-error.ts";
import { commonFlags, connectionFlags, rootFlags } from "./global-flags.ts";
import { commandHelp, groupHelp, rootHelp } from "./help.ts";
import { type CliIo, writeLines } from "./io.ts";
import { readVersion } from "./version.ts";

/** Carries out a command line, without the words for the program itself, and says what to exit with. Never rejects. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    const { lines, exitCode } = explainError(error, io.signal);
    writeLines(io.stderr, ...lines.map((line, index) => (index === 0 ? `retake: ${line}` : `  ${line}`)));
    return exitCode;
  }
}

async function dispatch(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  const { name, rest } = findCommand(argv);
  const entry = commands.get(name);
  if (entry === undefined) return withoutCommand(name, rest, io);
  const command = await entry.load();
  const global = { ...(command.local === true ? {} : connectionFlags), ...commonFlags };
  // What a command has its own words for is none of the global ones.
  const flags = { ...command.flags, ...global, ...command.flags };
  if (asksForHelp(rest, flags)) {
    io.stdout.write(commandHelp(name, command, helpWidth(io)));
    return ExitCode.ok;
  }
  try {
    return await command.run(parseArguments(rest, flags, command.positionals), io);
  } catch (error) {
    if (error instanceof UsageError)
      throw new UsageError(`${error.message}\nTry: retake ${name} --help`, { cause: error });
    throw error;
  }
}

/** `retake`, `retake --version`, `retake runs`. */
async function withoutCommand(group: string, rest: readonly string[], io: CliIo): Promise<ExitCode> {
  const flags = { ...rootFlags, ...connectionFlags, ...commonFlags };
  const help = group === "" ? rootHelp(commands, helpWidth(io)) : groupHelp(group, commands, helpWidth(io));
  if (asksForHelp(rest, flags)) {
    io.stdout.write(help);
    return ExitCode.ok;
  }
  if (parseArguments(rest, flags, []).has("version")) {
    writeLines(io.stdout, await readVersion());
    return ExitCode.ok;
  }
  io.stderr.write(help);
  return ExitCode.usage;
}

/** Longer lines than that are hard to read. */
function helpWidth({ isTTY, columns }: CliIo): number {
  return isTTY ? Math.min(100, columns) : 100;
}

/** Finds a command's words among the flags; flags for the connection may stand before them. */
function findCommand(argv: readonly string[]): { readonly name: string; readonly rest: readonly string[] } {
  const known = { ...connectionFlags, ...commonFlags, ...rootFlags };
  const before: string[] = [];
  let index = 0;
  for (; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    if (!argument.startsWith("-") || argument === "-") break;
    before.push(argument);
    const flag = argument.startsWith("--") ? known[argument.slice(2)] : undefined;
    const next = argv[index + 1];
    if (flag?.value !== undefined && next !== undefined) {
      before.push(next);
      index++;
    }
  }
  const [first, second, ...others] = argv.slice(index);
  if (first === undefined) return { name: "", rest: before };
  if (first === "help") return findCommand([...argv.slice(index + 1), "--help"]);
  if (second !== undefined && commands.has(`${first} ${second}`)) {
    return { name: `${first} ${second}`, rest: [...before, ...others] };
  }
  if (commands.has(first)) return { name: first, rest: [...before, ...argv.slice(index + 1)] };
  const members = membersOf(first);
  if (members.length === 0) {
    const words = new Set([...commands.keys()].map((name) => name.split(" ")[0] ?? name));
    throw new UsageError(`there is no command "${first}".${suggestion(first, words)}\nTry: retake --help`);
  }
  if (second === undefined || second.startsWith("-"))
    return { name: first, rest: [...before, ...argv.slice(index + 1)] };
  if (!members.includes(second)) {
    throw new UsageError(
      `there is no command "${first} ${second}".${suggestion(second, members)}\nTry: retake ${first} --help`,
    );
  }
  return { name: `${first} ${second}`, rest: [...before, ...others] };
}

function membersOf(group: string): string[] {
  return [...commands.keys()].flatMap((name) => (name.startsWith(`${group} `) ? [name.slice(group.length + 1)] : []));
}

/** Help is given whatever else is wrong with a command line. */
function asksForHelp(argv: readonly string[], flags: Flags): boolean {
  return argv.some((argument, index) => {
    if (argument !== "--help" && argument !== "-h") return false;
    const before = argv[index - 1]?.startsWith("--") === true ? flags[argv[index - 1]?.slice(2) ?? ""] : undefined;
    return before?.value === undefined && !argv.slice(0, index).includes("--");
  });
}
