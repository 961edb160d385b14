import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writePrivateFile } from "../../private-file.ts";
import { parseKey } from "./key-format.ts";

const fileName = "admin.key";

/** A copy of an admin key in the data directory, for the command line of this machine: whoever reads it owns the data too. */
export class AdminKeyFile {
  readonly path: string;

  constructor(dataDirectory: string) {
    this.path = join(dataDirectory, fileName);
  }

  async write(key: string): Promise<void> {
    await writePrivateFile(this.path, `${key}\n`);
  }

  /** The key; undefined when there is no file, or no key in it. */
  async read(): Promise<string | undefined> {
    let text: string;
    try {
      text = (await readFile(this.path, "utf8")).trim();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      throw error;
    }
    return parseKey(text).kind === "key" ? text : undefined;
  }

  /** Keeps another key, or none, in the place of one that is no longer taken; a file with yet another one stays. */
  async replace(id: string, key: string | undefined): Promise<void> {
    const present = parseKey((await this.read()) ?? "");
    if (present.kind !== "key" || present.id !== id) return;
    if (key === undefined) await rm(this.path, { force: true });
    else await this.write(key);
  }
}
