import { createHmac, timingSafeEqual } from "node:crypto";
import type { ChainEnd } from "./audit-chain.ts";

/** Where a log ended once, signed: kept elsewhere than the log, it tells that the log was cut together with its checkpoint. */
export interface AuditNote extends ChainEnd {
  readonly mac: Uint8Array;
}

export function signNote({ sequence, sha256 }: ChainEnd, key: Uint8Array): AuditNote {
  return { sequence, sha256, mac: macOf({ sequence, sha256 }, key) };
}

/** Whether it is as it was signed, with that key. */
export function isSignedNote(note: AuditNote, key: Uint8Array): boolean {
  const expected = macOf(note, key);
  return note.mac.length === expected.length && timingSafeEqual(note.mac, expected);
}

function macOf({ sequence, sha256 }: ChainEnd, key: Uint8Array): Uint8Array {
  const text = `retake audit note\n${sequence}\n${Buffer.from(sha256).toString("hex")}`;
  return createHmac("sha256", key).update(text).digest();
}
