import { readdir, stat } from "node:fs/promises";

/** In bytes; undefined where there is no such file. */
export function sizeOf(path: string): Promise<number | undefined> {
  return found(async () => (await stat(path)).size, undefined);
}

/** What is in a directory; nothing where there is none. */
export function namesIn(directory: string): Promise<readonly string[]> {
  return found(() => readdir(directory), []);
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

async function found<Found>(find: () => Promise<Found>, otherwise: Found): Promise<Found> {
  try {
    return await find();
  } catch (error) {
    if (isMissing(error)) {
      return otherwise;
    }
    throw error;
  }
}
