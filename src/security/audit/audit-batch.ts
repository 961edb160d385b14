import type { AuditEvent } from "./audit.ts";
import { encodeEntry } from "./encode-entry.ts";

/** An event that others are like, but for their times and details. */
interface Kind {
  readonly event: AuditEvent;
  /** The number of its line, counted from 0. */
  readonly line: number;
  readonly next: Kind | undefined;
}

/** Kinds that are told apart: those beyond are written as a whole each time. */
const mostKinds = 1_000;
const initialBytes = 16 * 1024;
/** A buffer that has grown beyond this is given up again. */
const keptBytes = 512 * 1024;

/**
 * Events on their way to the thread of the log, one a line. Nearly all of a busy server are the same but for their run, so
 * of such it says only which line has the rest. Kept as bytes: a text that grows by pieces is collected with the old
 * generation, piece by piece.
 */
export class AuditBatch {
  #buffer = Buffer.allocUnsafeSlow(initialBytes);
  #bytes = 0;
  #count = 0;
  /** By the address that they came from, of which each connection has one. */
  readonly #kinds = new Map<string, Kind>();
  #kindCount = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param count how many there were like it */
  add(event: AuditEvent, timeMs: number, count: number): void {
    const kind = count === 1 ? this.#kindOf(event) : undefined;
    if (kind === undefined) {
      this.#write(encodeEntry(event, timeMs, count));
      if (count === 1) this.#remember(event);
    } else {
      const { details } = event;
      this.#write(`[${kind.line},${timeMs},${details === undefined ? "0" : JSON.stringify(details)}]`);
    }
    this.#count++;
  }

  /** All of them, for `decodeBatch`; the next one is the first of another batch. */
  take(): string {
    const text = this.#buffer.toString("utf8", 0, this.#bytes);
    if (this.#buffer.length > keptBytes) this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.#bytes = 0;
    this.#count = 0;
    this.#kinds.clear();
    this.#kindCount = 0;
    return text;
  }

  #kindOf(event: AuditEvent): Kind | undefined {
    const { action, outcome, principal, resource, reason } = event;
    let kind = this.#kinds.get(event.source);
    while (
      kind !== undefined &&
      (kind.event.principal !== principal ||
        kind.event.resource !== resource ||
        kind.event.action !== action ||
        kind.event.outcome !== outcome ||
        kind.event.reason !== reason)
    ) {
      kind = kind.next;
    }
    return kind;
  }

  #remember(event: AuditEvent): void {
    if (this.#kindCount >= mostKinds) return;
    this.#kindCount++;
    this.#kinds.set(event.source, { event, line: this.#count, next: this.#kinds.get(event.source) });
  }

  #write(line: string): void {
    const most = this.#bytes + line.length * 3 + 1;
    if (most > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, most));
      this.#buffer.copy(larger, 0, 0, this.#bytes);
      this.#buffer = larger;
    }
    if (this.#count > 0) this.#buffer[this.#bytes++] = lineBreak;
    this.#bytes += this.#buffer.write(line, this.#bytes);
  }
}

const lineBreak = 0x0a;
