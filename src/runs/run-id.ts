import type { RandomSource } from "../clock.ts";
import { sha256 } from "./sha256.ts";

const buffer = Buffer.alloc(16);
const text = Buffer.alloc(36, "-");
const digits = Buffer.from("0123456789abcdef");

/** A UUIDv7 (RFC 9562, section 5.7): 48 bits of time in ms, then random bits. Sorts by time. */
export function newRunId(nowMs: number, random: RandomSource): string {
  random.fill(buffer);
  return formatVersion7(nowMs);
}

/**
 * The id of a child: the same for the same parent, name and input, so that a retaken parent finds it again. A UUIDv7
 * too, with its parent's time.
 */
export function childRunId(parentRunId: string, name: string, inputSha256: Uint8Array): string {
  sha256(`${parentRunId}\n${Buffer.byteLength(name)}\n${name}\n`, inputSha256).copy(buffer, 0, 0, 16);
  return formatVersion7(Number.parseInt(parentRunId.slice(0, 8) + parentRunId.slice(9, 13), 16));
}

/** The id of a fallback. No child that a handler names can have it: those have a name. */
export function fallbackRunId(parentRunId: string, workflow: string, inputSha256: Uint8Array): string {
  return childRunId(parentRunId, "", sha256(`${workflow}\n`, inputSha256));
}

const shape = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether this is a UUID as we write it: lower case, with dashes. */
export function isRunId(text: string): boolean {
  return shape.test(text);
}

function formatVersion7(timeMs: number): string {
  buffer.writeUIntBE(timeMs, 0, 6);
  buffer[6] = ((buffer[6] ?? 0) & 0x0f) | 0x70;
  buffer[8] = ((buffer[8] ?? 0) & 0x3f) | 0x80;
  let at = 0;
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) {
      at++;
    }
    const byte = buffer[index] ?? 0;
    text[at++] = digits[byte >>> 4] ?? 0;
    text[at++] = digits[byte & 15] ?? 0;
  }
  // One flat string: one made of slices is put together again wherever it is looked up.
  return text.toString("latin1");
}
