import { parseArgs } from "node:util";
import { suggestion } from "../nearest-name.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags, Positional } from "./command.ts";

/** What a command was given. */
export interface Arguments {
  /** The value of a positional by its name; empty when an optional one is not given. */
  positional(name: string): string;
  /** Whether a flag without a value is given. */
  has(flag: string): boolean;
  /** The value of a flag, the last one if it is repeated. */
  value(flag: string): string | undefined;
  /** All values of a flag. */
  values(flag: string): readonly string[];
  /** The flags that were given, with their values, as they would be given again. */
  given(flags: Iterable<string>): readonly string[];
}

/** @throws UsageError that names what is wrong, and what was perhaps meant */
export function parseArguments(argv: readonly string[], flags: Flags, positionals: readonly Positional[]): Arguments {
  const { tokens } = parseArgs({
    args: [...argv],
    // Every mistake is told in our words.
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(flags).map(([name, { value, short }]) => [
        name,
        { type: value === undefined ? ("boolean" as const) : ("string" as const), ...(short && { short }) },
      ]),
    ),
  });
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") rest.push(token.value);
    if (token.kind !== "option") continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (flag === undefined) {
      const known = Object.keys(flags).map((name) => `--${name}`);
      throw new UsageError(`there is no flag ${token.rawName}.${suggestion(token.rawName, known)}`);
    }
    if (flag.value === undefined && token.value !== undefined) {
      throw new UsageError(`${token.rawName} takes no value`);
    }
    if (flag.value !== undefined && (token.value === undefined || looksLikeFlag(token.value, token.inlineValue))) {
      const inline = token.value === undefined ? "" : `. If "${token.value}" is meant: ${token.rawName}=${token.value}`;
      throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${flag.value}${inline}`);
    }
    values.set(token.name, [...(values.get(token.name) ?? []), token.value ?? ""]);
  }
  const named = namePositionals(rest, positionals);
  return {
    positional: (name) => named.get(name) ?? "",
    has: (flag) => values.has(flag),
    value: (flag) => values.get(flag)?.at(-1),
    values: (flag) => values.get(flag) ?? [],
    given: (names) =>
      [...names].flatMap((name) => {
        const value = values.get(name)?.at(-1);
        if (value === undefined) return [];
        return flags[name]?.value === undefined ? [`--${name}`] : [`--${name}`, value];
      }),
  };
}

/** A lone dash is standard input, and one before a digit a sign. */
function looksLikeFlag(value: string, inline: boolean | undefined): boolean {
  return inline !== true && /^-[^\d]/.test(value);
}

function namePositionals(given: readonly string[], wanted: readonly Positional[]): Map<string, string> {
  const missing = wanted.find(({ optional }, index) => optional !== true && given[index] === undefined);
  if (missing !== undefined) throw new UsageError(`${missing.name} is missing: ${missing.description}`);
  const surplus = given[wanted.length];
  if (surplus !== undefined) {
    throw new UsageError(`"${surplus}" is one argument too many; put quotes around a value with spaces`);
  }
  return new Map(wanted.flatMap(({ name }, index) => (given[index] === undefined ? [] : [[name, given[index]]])));
}
