import { closeSync, fsyncSync, openSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

// Windows cannot open directories, and NTFS journals names by itself.
const needsSync = process.platform !== "win32";

/** Makes the names in a directory durable. */
export async function syncDirectory(
  path: string,
  sync: (directory: FileHandle) => Promise<void> = (directory) => directory.sync(),
): Promise<void> {
  if (!needsSync) return;
  const directory = await open(path, "r");
  try {
    await sync(directory);
  } finally {
    await directory.close();
  }
}

/** The same for whoever cannot wait. */
export function syncDirectoryNow(path: string): void {
  if (!needsSync) return;
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
