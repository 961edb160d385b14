import { createHmac, timingSafeEqual } from "node:crypto";

/** A file of the log that is written no more. */
export interface SealedFile {
  readonly first: number;
  readonly last: number;
  /** Of its last line, in hex. */
  readonly sha256: string;
}

/** Where a log ends, and where its files do. Signed, so that cutting its end off is found. */
export interface AuditHead {
  readonly sequence: number;
  /** Of the last line, in hex. */
  readonly sha256: string;
  readonly sealed: readonly SealedFile[];
  /** The last record that retention has deleted. */
  readonly retired?: { readonly last: number; readonly sha256: string };
  /** What was there instead when the log began, where that was damaged. */
  readonly instead?: {
    /** The signature of the journal's note, in hex, which is about the other log; empty where there was none. */
    readonly note: string;
    /** What is damaged, while that is not on record. */
    readonly untold?: string;
  };
}

export const headName = "head.json";

/** What is written: the head in a stable form, and its HMAC-SHA-256. */
export function signHead(head: AuditHead, key: Uint8Array): string {
  const text = stableText(head);
  return `${JSON.stringify({ ...(JSON.parse(text) as object), mac: macOf(text, key) })}\n`;
}

/** @throws SyntaxError when it is none @returns undefined when it was signed with another key, or changed */
export function openHead(text: string, key: Uint8Array): AuditHead | undefined {
  const { mac, ...head } = JSON.parse(text) as AuditHead & { mac?: unknown };
  if (typeof mac !== "string" || !Array.isArray(head.sealed)) throw new SyntaxError("it is no checkpoint");
  const expected = Buffer.from(macOf(stableText(head), key), "hex");
  const given = Buffer.from(mac, "hex");
  return given.length === expected.length && timingSafeEqual(given, expected) ? head : undefined;
}

function stableText({ sequence, sha256, sealed, retired, instead }: AuditHead): string {
  return JSON.stringify({
    sequence,
    sha256,
    sealed: sealed.map((each) => ({ first: each.first, last: each.last, sha256: each.sha256 })),
    ...(retired === undefined ? {} : { retired: { last: retired.last, sha256: retired.sha256 } }),
    ...(instead === undefined ? {} : { instead: { note: instead.note, untold: instead.untold } }),
  });
}

function macOf(text: string, key: Uint8Array): string {
  return createHmac("sha256", key).update(`retake audit checkpoint\n${text}`).digest("hex");
}
