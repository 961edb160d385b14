import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** Stands for the state of files: two are equal exactly if nobody has written in between. */
export async function fingerprint(files: Iterable<string>): Promise<string> {
  const states: string[] = [];
  for (const file of files) {
    const found = await stat(file, { bigint: true }).catch(() => undefined);
    // A file that is not there yet may come.
    states.push(`${file} ${found === undefined ? "absent" : `${found.mtimeNs} ${found.size} ${found.ino}`}`);
  }
  return states.sort().join("\n");
}

/** All `.proto` files below some folders. */
export async function protoFiles(folders: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const folder of folders) {
    const entries = await readdir(folder, { recursive: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.endsWith(".proto") && !/(^|[\\/])node_modules[\\/]/.test(entry)) files.push(join(folder, entry));
    }
  }
  return files;
}
