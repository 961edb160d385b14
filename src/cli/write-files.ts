import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CliError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";

/** What became of a file. */
export interface WrittenFile {
  /** The path within the directory, with slashes. */
  readonly file: string;
  readonly change: "written" | "updated" | "unchanged";
}

/**
 * Makes files what they are to be, and touches none that is right: whoever watches them sees no change then.
 *
 * @throws CliError that names a path that cannot be written
 */
export async function writeFiles(directory: string, files: ReadonlyMap<string, string>): Promise<WrittenFile[]> {
  const written: WrittenFile[] = [];
  for (const [file, content] of files) {
    const path = join(directory, file);
    try {
      const before = await readFile(path, "utf8").catch(absent);
      if (before !== content) {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, content);
      }
      written.push({ file, change: before === undefined ? "written" : before === content ? "unchanged" : "updated" });
    } catch (cause) {
      throw new CliError(`${path} cannot be written: ${(cause as Error).message}`, ExitCode.refused, { cause });
    }
  }
  return written;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
