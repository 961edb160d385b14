import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArguments } from "../../../src/cli/arguments.ts";
import { UsageError } from "../../../src/cli/cli-error.ts";

/** What the demo is told to do. */
export interface DemoOptions {
  /** Where the film goes; absent for `build/`. */
  readonly out?: string;
  /** The storyboard's file. */
  readonly storyboard: string;
  /** Whether to show what happens when an engine fails, in place of a storyboard's film. */
  readonly chaos: boolean;
  /** Whether the server stays up when the film is there. */
  readonly keep: boolean;
}

export const demoHelp = `Starts a server in a temporary directory, makes a film of a storyboard, and shows how it went.

Usage: npm run demo -- [FLAGS]

Flags:
  --out FILE         Save the film here: .mp4, .webp, or a directory. Default: build/the-paper-boat.mp4,
                     or .webp where there is no ffmpeg
  --storyboard FILE  Another one, as JSON. Default: examples/video/storyboard.json
  --chaos            Show what happens when an engine is short of memory, is killed while it works, and comes back:
                     films of a prompt, in five acts
  --keep             Leave the server up until Ctrl-C
  --help             Show this

Exit codes: 0 the film is saved, 1 the run failed, 2 a flag or the storyboard is wrong, 130 interrupted;
any other: something else went wrong.
`;

/** Where the person stands who started the demo: npm changes to the package's directory. */
export const callerDirectory = (process.env["npm_lifecycle_event"] && process.env["INIT_CWD"]) || process.cwd();

const bundled = fileURLToPath(new URL("../storyboard.json", import.meta.url));

/** @throws UsageError */
export function parseDemoOptions(argv: readonly string[]): DemoOptions | "help" {
  const flags = {
    out: { value: "FILE", description: "" },
    storyboard: { value: "FILE", description: "" },
    chaos: { description: "" },
    keep: { description: "" },
    help: { short: "h", description: "" },
  };
  try {
    const given = parseArguments(argv, flags, []);
    if (given.has("help")) return "help";
    const [out, storyboard] = [given.value("out"), given.value("storyboard")];
    if (given.has("chaos") && (storyboard !== undefined || given.has("keep"))) {
      throw new UsageError("--chaos tells a story of its own: leave out --storyboard and --keep");
    }
    return {
      // A slash at the end says that a directory is meant, and resolving would take it away.
      ...(out === undefined ? {} : { out: resolve(callerDirectory, out) + (out.endsWith("/") ? "/" : "") }),
      storyboard: storyboard === undefined ? bundled : resolve(callerDirectory, storyboard),
      chaos: given.has("chaos"),
      keep: given.has("keep"),
    };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}\nTry: npm run demo -- --help`, { cause: error });
  }
}
