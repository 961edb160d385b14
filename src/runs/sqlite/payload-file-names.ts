import type { Dir } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";

/** Where the files of large payloads are, within a data directory. */
export const payloadsFolder = "payloads";

/** The path of a payload's file within a data directory, always with slashes. */
export function payloadFileName(sha256: Uint8Array): string {
  const name = Buffer.from(sha256.buffer, sha256.byteOffset, sha256.length).toString("hex");
  return `${payloadsFolder}/${name.slice(0, 2)}/${name.slice(2)}`;
}

/** The digest that such a path stands for; undefined for any other path. */
export function payloadDigestOf(fileName: string): Uint8Array | undefined {
  const match = /^payloads\/([0-9a-f]{2})\/([0-9a-f]{62})$/.exec(fileName);
  return match === null ? undefined : Buffer.from(`${match[1]}${match[2]}`, "hex");
}

/** All payload files of a data directory, by their paths within it. */
export async function* payloadFileNames(directory: string): AsyncGenerator<string> {
  for await (const folder of namesIn(join(directory, payloadsFolder))) {
    for await (const file of namesIn(join(directory, payloadsFolder, folder))) {
      const name = `${payloadsFolder}/${folder}/${file}`;
      if (payloadDigestOf(name) !== undefined) {
        yield name;
      }
    }
  }
}

/** One after the other, since there may be very many. */
async function* namesIn(path: string): AsyncGenerator<string> {
  let directory: Dir;
  try {
    directory = await opendir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") {
      return;
    }
    throw error;
  }
  for await (const { name } of directory) {
    yield name;
  }
}
