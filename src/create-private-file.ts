import { closeSync, openSync } from "node:fs";

/**
 * Makes an empty file that only this user can read, unless it exists. What exists is not even opened: closing a file
 * gives up every POSIX lock that this process holds on it, those of SQLite too.
 */
export function createPrivateFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      throw error;
    }
  }
}
