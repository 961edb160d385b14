import { crc32 } from "node:zlib";
import type { RandomSource } from "../../clock.ts";

/** How every key begins: secret scanners look for it. */
export const keyPrefix = "rtk_";

/** Enough that ids do not meet. */
const idBytes = 8;
const idDigits = 11;

/** Nobody guesses it, so a fast digest at rest will do. */
const secretBytes = 32;
const secretDigits = 43;

const sumDigits = 6;

const wellFormed = new RegExp(`^${keyPrefix}([0-9A-Za-z]{${idDigits}})_[0-9A-Za-z]{${secretDigits + sumDigits}}$`);

/** `rtk_<id>_<secret><checksum>`, all but the prefix in base62. The checksum is the CRC-32 of what is before it. */
export interface NewKey {
  readonly id: string;
  readonly text: string;
}

/** What somebody sent in place of a key. */
export type ParsedKey =
  | { readonly kind: "key"; readonly id: string }
  /** It begins like a key and cannot be one, whatever keys there are. */
  | { readonly kind: "mistyped" }
  | { readonly kind: "other" };

export function createKey(random: RandomSource): NewKey {
  const id = base62(randomBytes(random, idBytes), idDigits);
  const body = `${keyPrefix}${id}_${base62(randomBytes(random, secretBytes), secretDigits)}`;
  return { id, text: `${body}${checksum(body)}` };
}

export function parseKey(text: string): ParsedKey {
  if (!text.startsWith(keyPrefix)) return { kind: "other" };
  const id = wellFormed.exec(text)?.[1];
  if (id === undefined || checksum(text.slice(0, -sumDigits)) !== text.slice(-sumDigits)) return { kind: "mistyped" };
  return { kind: "key", id };
}

function checksum(body: string): string {
  return digits(BigInt(crc32(body)), sumDigits);
}

function randomBytes(random: RandomSource, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  random.fill(bytes);
  return bytes;
}

function base62(bytes: Uint8Array, length: number): string {
  return digits(BigInt(`0x${Buffer.from(bytes).toString("hex")}`), length);
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function digits(number: bigint, length: number): string {
  const radix = BigInt(alphabet.length);
  let text = "";
  for (let rest = number; rest > 0n; rest /= radix) text = `${alphabet[Number(rest % radix)]}${text}`;
  return text.padStart(length, "0");
}
