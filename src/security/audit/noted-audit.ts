import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AuditLogBegunSchema, AuditLogNoteSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock, Timer } from "../../clock.ts";
import { type Journal, type Logger, recordsOf, streamsNamed, timestampFromMs } from "../../runs/index.ts";
import { lineDigest } from "./audit-chain.ts";
import type { AuditNote } from "./audit-note.ts";
import type { AuditPage, AuditQuery } from "./audit-query.ts";
import type { Appended, AuditStore, TallySlice } from "./audit-store.ts";

/** Says that there is a log, since it was begun. */
export const begunStream = "audit-log";

/** Each of these holds a note of where it ended; the last one by name holds. */
export const notePrefix = "audit-log/";

/** What is on record is noted no later than this: who cuts the log within that time is not found. */
const noteAfterMs = 10_000;

/** How long whoever closes waits for the journal. */
const closeTimeoutMs = 1_000;

/** What a journal says about an audit log. */
export interface NotedLog {
  /** Whether there is one. */
  readonly expected: boolean;
  readonly note?: AuditNote;
  /** The number of the stream that the note is in, and of those before that a crash has left. */
  readonly streams: readonly string[];
}

export async function readNotes(journal: Pick<Journal, "read" | "listStreams">): Promise<NotedLog> {
  const streams: string[] = [];
  for await (const stream of streamsNamed(journal, notePrefix)) streams.push(stream);
  const newest = streams.at(-1);
  if (newest === undefined) return { expected: (await journal.read(begunStream, 0, 1)).length > 0, streams };
  for await (const { data } of recordsOf(journal, newest)) return { expected: true, note: parseNote(data), streams };
  return { expected: true, streams };
}

/** A note as it is in the journal; one that nobody has signed where it cannot be read. */
export function parseNote(data: Uint8Array): AuditNote {
  try {
    const { sequence, sha256, mac } = fromBinary(AuditLogNoteSchema, data);
    // Arrays of their own: they go to other threads.
    return { sequence: Number(sequence), sha256: Uint8Array.from(sha256), mac: Uint8Array.from(mac) };
  } catch {
    return { sequence: 0, sha256: new Uint8Array(), mac: Uint8Array.from(lineDigest(data)) };
  }
}

export interface NotedAuditOptions {
  readonly store: AuditStore & { note(): Promise<AuditNote> };
  readonly journal: Pick<Journal, "append" | "deleteStreams">;
  readonly noted: NotedLog;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * An audit log whose end is noted in the journal: when a file is full, at the end of the process, and some seconds after each
 * record. A note is appended when what it says is durable, so the log that a crash leaves never ends before its note.
 */
export class NotedAudit implements AuditStore {
  readonly #options: NotedAuditOptions;
  #expected: boolean;
  #note: AuditNote | undefined;
  #streams: readonly string[];
  #timer: Timer | undefined;
  /** Something was appended that is not noted. */
  #behind = false;
  #closing = false;
  #working: Promise<void> = Promise.resolve();

  constructor(options: NotedAuditOptions) {
    this.#options = options;
    this.#expected = options.noted.expected;
    this.#note = options.noted.note;
    this.#streams = options.noted.streams;
  }

  async open(): Promise<string | undefined> {
    const { store, journal, clock } = this.#options;
    const damage = await store.open();
    if (!this.#expected) {
      // In this order: a crash in between must not leave a note of what has never been.
      const record = create(AuditLogBegunSchema, { time: timestampFromMs(clock.now()) });
      const records = [toBinary(AuditLogBegunSchema, record)];
      await journal.append([{ stream: begunStream, expectedSequence: 0, records }]);
      this.#expected = true;
    }
    // The note that there is may be about the log that was set aside, or there may be none yet.
    if (damage !== undefined || this.#note === undefined) this.#noteNow();
    return damage;
  }

  async append(batch: string, nowMs: number): Promise<Appended> {
    const appended = await this.#options.store.append(batch, nowMs);
    this.#behind = true;
    if (appended.inNewFile || appended.damage !== undefined) this.#noteNow();
    else this.#timer ??= this.#options.clock.setTimeout(() => this.#noteNow(), noteAfterMs);
    return appended;
  }

  search(query: AuditQuery, page: AuditPage): ReturnType<AuditStore["search"]> {
    return this.#options.store.search(query, page);
  }

  tally(sinceMs: number, untilMs: number, from?: number): Promise<TallySlice> {
    return this.#options.store.tally(sinceMs, untilMs, from);
  }

  async close(): Promise<void> {
    const { store, clock } = this.#options;
    this.#closing = true;
    if (this.#behind) this.#noteNow();
    this.#timer?.cancel();
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(late.resolve, closeTimeoutMs);
    await Promise.race([this.#working, late.promise]);
    timer.cancel();
    await store.close();
  }

  #noteNow(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#behind = false;
    this.#working = this.#working
      .then(() => this.#write())
      .catch((error: unknown) => {
        this.#behind = true;
        const { clock, log } = this.#options;
        if (!this.#closing) this.#timer ??= clock.setTimeout(() => this.#noteNow(), noteAfterMs);
        log.warn({ err: error }, "where the audit log ends could not be noted in the journal; it is tried again");
      });
  }

  async #write(): Promise<void> {
    const { store, journal, clock } = this.#options;
    const note = await store.note();
    const noted = this.#note;
    if (noted === undefined ? note.sequence === 0 : Buffer.compare(note.mac, noted.mac) === 0) return;
    const { sequence, sha256, mac } = note;
    const record = create(AuditLogNoteSchema, {
      ...{ time: timestampFromMs(clock.now()), sequence: BigInt(sequence), sha256, mac },
    });
    const before = this.#streams;
    const stream = streamAfter(before.at(-1));
    const append = { stream, expectedSequence: 0, records: [toBinary(AuditLogNoteSchema, record)] };
    await journal.append([append], { impatient: true });
    this.#note = note;
    this.#streams = [...before, stream];
    if (before.length === 0) return;
    await journal.deleteStreams(before);
    this.#streams = [stream];
  }
}

/** Their order by name is that of their numbers. */
function streamAfter(stream: string | undefined): string {
  const number = stream === undefined ? 0 : Number(stream.slice(notePrefix.length)) || 0;
  return `${notePrefix}${String(number + 1).padStart(12, "0")}`;
}
