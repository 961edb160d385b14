import type { Arguments } from "./arguments.ts";
import type { ExitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

/** A flag, for parsing and for `--help`. */
export interface Flag {
  /** What stands for its value in help; a flag without is on or off. */
  readonly value?: string;
  /** One letter. */
  readonly short?: string;
  /** May be given several times. */
  readonly multiple?: boolean;
  readonly description: string;
}

export type Flags = Readonly<Record<string, Flag>>;

/** What follows a command's name. */
export interface Positional {
  /** In capitals: `WORKFLOW`. */
  readonly name: string;
  readonly description: string;
  readonly optional?: boolean;
}

export interface Command {
  /** One or more sentences. */
  readonly description: string;
  readonly positionals: readonly Positional[];
  /** Besides the global ones. */
  readonly flags: Flags;
  /** Command lines, each with what it does. */
  readonly examples: readonly (readonly [commandLine: string, does: string])[];
  /** Does not talk to a server, so that the flags for that are none of its. */
  readonly local?: boolean;
  run(given: Arguments, io: CliIo): Promise<ExitCode>;
}

/** What is known of a command before it is needed; its module is loaded only then. */
export interface CommandEntry {
  /** A few words, for the list of commands. */
  readonly summary: string;
  load(): Promise<Command>;
}
