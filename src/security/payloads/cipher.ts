import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import type { KeyRing, PayloadKey } from "./key-ring.ts";

/** Begins with a byte that no message of protobuf begins with: a field of wire type 7, which there is not. */
const magic = Buffer.from([0x07, 0x52, 0x54, 0x4b, 0x01]);
const nonceBytes = 12;
const tagBytes = 16;

/** What is encrypted: one kind cannot be taken for another. */
export type SealedKind = "payload" | "checkpoint";

/** Bytes cannot be decrypted. */
export class SealError extends Error {
  override readonly name = "SealError";
}

export function isSealed(bytes: Uint8Array): boolean {
  return bytes.length > magic.length && magic.every((byte, index) => bytes[index] === byte);
}

/**
 * AES-256-GCM, with a nonce that is a keyed hash of what is encrypted: the same bytes look the same under the same key, so
 * that they are stored once and compared as they are stored. All else about them stays hidden, from guesses too.
 */
export function seal(plain: Uint8Array, key: PayloadKey, kind: SealedKind): Buffer {
  const id = Buffer.from(key.id);
  const header = Buffer.concat([magic, Buffer.from([id.length]), id]);
  const nonce = createHmac("sha256", key.nonce)
    .update(kind)
    .update("\0")
    .update(plain)
    .digest()
    .subarray(0, nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key.encrypt, nonce);
  cipher.setAAD(Buffer.concat([Buffer.from(`${kind}\0`), header]));
  const encrypted = cipher.update(plain);
  const rest = cipher.final();
  return Buffer.concat([header, nonce, cipher.getAuthTag(), encrypted, rest]);
}

/** @throws SealError */
export function unseal(sealed: Uint8Array, { keys }: Pick<KeyRing, "keys">, kind: SealedKind): Buffer {
  const idLength = sealed[magic.length] ?? 0;
  const headerLength = magic.length + 1 + idLength;
  const dataAt = headerLength + nonceBytes + tagBytes;
  if (!isSealed(sealed) || sealed.length < dataAt) throw new SealError("it is cut off");
  const id = Buffer.from(sealed.subarray(magic.length + 1, headerLength)).toString();
  const key = keys.get(id);
  if (key === undefined) {
    throw new SealError(
      `it is encrypted with the key ${JSON.stringify(id)}, which is not in the key file (security.payload_encryption.key_file)`,
    );
  }
  const decipher = createDecipheriv(
    "aes-256-gcm",
    key.encrypt,
    sealed.subarray(headerLength, headerLength + nonceBytes),
  );
  decipher.setAAD(Buffer.concat([Buffer.from(`${kind}\0`), sealed.subarray(0, headerLength)]));
  decipher.setAuthTag(sealed.subarray(headerLength + nonceBytes, dataAt));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(dataAt)), decipher.final()]);
  } catch (error) {
    throw new SealError("it was changed, or encrypted with another key of that id", { cause: error });
  }
}
