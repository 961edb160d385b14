import { createHmac } from "node:crypto";
import type { RandomSource } from "../../clock.ts";
import { KeyFileError, makePrivateFile, newKey, readPrivateFile } from "../private-key-file.ts";

/** One key of the file, and what is derived from it. */
export interface PayloadKey {
  readonly id: string;
  readonly encrypt: Buffer;
  /** Makes nonces of what is encrypted. */
  readonly nonce: Buffer;
  /** Tells whether it is the same key. */
  readonly check: Buffer;
}

/** The keys that payloads are encrypted with. */
export interface KeyRing {
  /** Encrypts. */
  readonly current: PayloadKey;
  /** All of them, by id. */
  readonly keys: ReadonlyMap<string, PayloadKey>;
  /** Names contents, the same over rotations for as long as the oldest key stays. */
  readonly digestKey: Buffer;
}

const checkBytes = 8;

/**
 * The keys in a file, one a line as ID:BASE64, made with one if it does not exist.
 *
 * @param missing why none may be made, where payloads depend on one that is missing
 * @throws KeyFileError
 */
export function readKeyRing(path: string, random: RandomSource, missing?: string): KeyRing {
  let text = readPrivateFile(path);
  if (text === undefined) {
    if (missing !== undefined) throw new KeyFileError(`${path} is missing: ${missing}`);
    text = makePrivateFile(path, newKeyLine(random));
  }
  const keys = new Map<string, PayloadKey>();
  let oldest: Buffer | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const [, id, base64] = /^\s*([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{43}=)\s*$/.exec(line) ?? [];
    if (id === undefined || base64 === undefined || keys.has(id)) {
      throw new KeyFileError(
        `${path}, line ${index + 1}: ${id !== undefined && keys.has(id) ? `there are two keys "${id}"` : "is no key: ID:BASE64 is expected, with an id of letters and digits, and 32 bytes"}`,
      );
    }
    oldest = Buffer.from(base64, "base64");
    keys.set(id, derive(id, oldest));
  }
  const [current] = keys.values();
  if (current === undefined || oldest === undefined) {
    throw new KeyFileError(`${path} holds no key: one a line is expected, as ID:BASE64 with 32 bytes`);
  }
  return { current, keys, digestKey: subkey(oldest, "digest") };
}

/** A key as a line of the file: putting one before the others rotates. */
export function newKeyLine(random: RandomSource): string {
  const id = newKey(random).subarray(0, 6).toString("hex");
  return `${id}:${newKey(random).toString("base64")}\n`;
}

function derive(id: string, key: Buffer): PayloadKey {
  return {
    id,
    encrypt: subkey(key, "encrypt"),
    nonce: subkey(key, "nonce"),
    check: subkey(key, "check").subarray(0, checkBytes),
  };
}

function subkey(key: Buffer, purpose: string): Buffer {
  return createHmac("sha256", key).update(`retake payload ${purpose}`).digest();
}
