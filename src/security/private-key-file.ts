import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { RandomSource } from "../clock.ts";
import { syncDirectoryNow } from "../sync-directory.ts";

/** A file of secrets cannot be used; the message says why, and what to do. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";
}

const keyBytes = 32;

/**
 * The key in a file, 32 bytes in hex, made if the file does not exist and one may be made.
 *
 * @param missing why none may be made, where something already depends on the one that is missing
 * @throws KeyFileError
 */
export function readKeyFile(path: string, random: RandomSource, missing?: string): Buffer {
  let text = readPrivateFile(path);
  if (text === undefined) {
    if (missing !== undefined) throw new KeyFileError(`${path} is missing: ${missing}`);
    text = makePrivateFile(path, `${newKey(random).toString("hex")}\n`);
  }
  return parseKey(path, text);
}

/** The key in a file that exists. @throws KeyFileError */
export function readExistingKeyFile(path: string): Buffer {
  const text = readPrivateFile(path);
  if (text === undefined) throw new KeyFileError(`${path} is not there`);
  return parseKey(path, text);
}

function parseKey(path: string, text: string): Buffer {
  const hex = text.trim();
  if (!/^[0-9a-fA-F]{64}$/.test(hex)) {
    throw new KeyFileError(`${path} holds no key: one line of 64 hexadecimal digits (32 bytes) is expected`);
  }
  return Buffer.from(hex, "hex");
}

/** 32 random bytes. */
export function newKey(random: RandomSource): Buffer {
  const key = Buffer.alloc(keyBytes);
  random.fill(key);
  return key;
}

/** The text of a file that nobody else may read; undefined when it is not there. @throws KeyFileError */
export function readPrivateFile(path: string): string | undefined {
  try {
    const text = readFileSync(path, "utf8");
    const { mode } = statSync(path);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      throw new KeyFileError(
        `${path} can be read by others than its owner (mode ${(mode & 0o777).toString(8)}): make it private with "chmod 600 ${path}"`,
      );
    }
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (error instanceof KeyFileError) throw error;
    throw new KeyFileError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Makes a file that only this user can read, durable and whole from the moment that it has its name. Returns what is in it:
 * the given text, or that of whoever was faster.
 *
 * @throws KeyFileError
 */
export function makePrivateFile(path: string, text: string): string {
  const unfinished = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(unfinished, "w", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    try {
      linkSync(unfinished, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      unlinkSync(unfinished);
    }
    syncDirectoryNow(dirname(path));
  } catch (error) {
    throw new KeyFileError(`${path} cannot be made: ${(error as Error).message}`, { cause: error });
  }
  return readPrivateFile(path) ?? text;
}
