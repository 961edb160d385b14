import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { type SpansExported, SpansExportedSchema } from "../../../gen/retake/v1/storage_pb.js";
import type { Clock } from "../../clock.ts";
import {
  type Journal,
  type Logger,
  msFromTimestamp,
  openStates,
  recordsOf,
  streamsNamed,
  timestampFromMs,
} from "../../runs/index.ts";
import type { BatchSender } from "./batch-sender.ts";

const prefix = "exported/";

/** Then another stream follows: this one is read as a whole at the next start. */
const recordsPerStream = 100;

/** Those that are open are looked up so seldom: it takes some milliseconds where they are many. */
const lookUpEveryMs = 10_000;

const mostOpen = 2_000;

/** Where there are more, their oldest are looked for among so many times that many: some milliseconds each. */
const mostPages = 10;

const { RUNNING, DELEGATED, CANCELLING } = RunState;

/** Runs in these end first. */
const atWork: readonly RunState[] = [RUNNING, DELEGATED, CANCELLING];

/** How long whoever closes waits for the journal. */
const closeTimeoutMs = 1_000;

/** Up to when receivers have the spans of runs. */
export interface ExportMark {
  /** What happened before has been taken; of what happened at that moment it is not known. */
  readonly toldMs: number;
  /** Runs that have ended since were accepted after this, or are among those that were open then. */
  readonly openMs: number;
  readonly openRunIds: readonly string[];
}

/** It is written when so many spans have been taken. */
interface WaitingMark {
  readonly mark: ExportMark;
  readonly added: number;
}

export interface ExportMarksOptions {
  readonly journal: Pick<Journal, "append" | "deleteStreams" | "flush" | "listRuns" | "listStreams" | "read">;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps in the journal up to when receivers have the spans of runs, so that the next process tells those again that they may
 * not have, and no others.
 *
 * 1. What had happened by the time of a mark was durable, and its spans were on their way, before the count of spans that the
 *    mark waits for was taken.
 * 2. The mark is written when as many have been taken. While a receiver is away, it stays where it is.
 */
export class ExportMarks {
  readonly #options: ExportMarksOptions;
  readonly #sender: Pick<BatchSender, "added" | "settled">;
  #stream = 1;
  #sequence = 0;
  /** Nothing more is written to this stream. */
  #full = false;
  /** Those that this stream has last. */
  #storedRunIds: readonly string[] | undefined;
  #cut = false;
  #open: Pick<ExportMark, "openMs" | "openRunIds"> | undefined;
  /** The next mark. */
  #next: "preparing" | WaitingMark | undefined;
  #begun = false;
  #working: Promise<void> = Promise.resolve();

  constructor(options: ExportMarksOptions, sender: Pick<BatchSender, "added" | "settled">) {
    this.#options = options;
    this.#sender = sender;
  }

  /** Reads what an earlier process has left; undefined where none has exported anything: from now on this one does. */
  async open(): Promise<ExportMark | undefined> {
    const { journal, clock } = this.#options;
    const streams: string[] = [];
    for await (const stream of streamsNamed(journal, prefix)) streams.push(stream);
    const numbers = streams.map((stream) => Number(stream.slice(prefix.length))).sort((a, b) => a - b);
    this.#stream = numbers.at(-1) ?? 1;
    const newest = await this.#read();
    // A crash may have left the ones before.
    this.#delete(numbers.slice(0, -1).map((number) => `${prefix}${number}`));
    if (newest !== undefined) return newest;
    try {
      const nowMs = clock.now();
      await this.#write({ toldMs: nowMs, openMs: nowMs, openRunIds: await this.#openRunIds() });
    } catch (error) {
      this.#complain(error);
    }
    return undefined;
  }

  /** What an earlier process has left has been told again: before, a mark would say so of what has not. */
  begin(): void {
    this.#begun = true;
  }

  /** Spans are about to be sent. */
  sending(): void {
    if (!this.#begun || this.#next !== undefined) return;
    this.#next = "preparing";
    this.#work(async () => {
      try {
        this.#next = await this.#prepare();
      } catch (error) {
        this.#next = undefined;
        throw error;
      }
      await this.#writeIfTaken();
    });
  }

  /** Some have been taken. */
  sent(): void {
    if (typeof this.#next === "object") this.#work(() => this.#writeIfTaken());
  }

  /** Nothing happens to runs any more, and what there was has been sent, or has not. */
  async close(): Promise<void> {
    if (!this.#begun) return;
    const { journal, clock } = this.#options;
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(late.resolve, closeTimeoutMs);
    const last = async (): Promise<void> => {
      await this.#working;
      await journal.flush();
      const { added, settled } = this.#sender;
      if (settled !== added) return;
      const nowMs = clock.now();
      // The next process may end them, and crash before its first mark.
      const openRunIds = await this.#openRunIds();
      // What has happened at this moment has been taken, too.
      await this.#write({ toldMs: nowMs + 1, openMs: nowMs, openRunIds });
    };
    await Promise.race([last().catch((error: unknown) => this.#complain(error)), late.promise]);
    timer.cancel();
  }

  async #prepare(): Promise<WaitingMark> {
    const { clock } = this.#options;
    const startMs = clock.now();
    if (this.#open === undefined || Math.abs(startMs - this.#open.openMs) >= lookUpEveryMs) {
      await this.#ordered();
      this.#open = { openMs: startMs, openRunIds: await this.#openRunIds() };
    }
    const mark = { toldMs: clock.now(), ...this.#open };
    await this.#ordered();
    return { mark, added: this.#sender.added };
  }

  async #openRunIds(): Promise<readonly string[]> {
    const { journal, log } = this.#options;
    // One look where they are few: between two, a run may move from what is looked at second to what was first.
    let rows = await journal.listRuns({ states: openStates }, { limit: mostOpen + 1 });
    if (rows.length <= mostOpen) return rows.map(({ runId }) => runId);
    if (!this.#cut) {
      log.warn({ most: mostOpen }, "more runs are open than are noted: after a crash, some that end have no trace");
      this.#cut = true;
    }
    const working = await journal.listRuns({ states: atWork }, { limit: mostOpen });
    // Of the others, those that were accepted first.
    let oldest = rows;
    for (let page = 1; page < mostPages && rows.length >= mostOpen; page++) {
      const beforePosition = rows.at(-1)?.position as number;
      rows = await journal.listRuns({ states: openStates }, { limit: mostOpen, beforePosition });
      oldest = [...oldest, ...rows].slice(-mostOpen);
    }
    const runIds = new Set([...working, ...oldest.toReversed()].map(({ runId }) => runId));
    return [...runIds].slice(0, mostOpen);
  }

  /** Resolves when everything that has happened to runs is durable, and told. */
  async #ordered(): Promise<void> {
    // What has happened in this turn of the event loop may be appended at its end.
    await new Promise<void>((resolve) => this.#options.clock.setImmediate(resolve));
    await this.#options.journal.flush();
  }

  async #writeIfTaken(): Promise<void> {
    const next = this.#next;
    if (typeof next !== "object" || this.#sender.settled < next.added) return;
    this.#next = undefined;
    await this.#write(next.mark);
  }

  /** The newest mark that can be read. */
  async #read(): Promise<ExportMark | undefined> {
    let newest: ExportMark | undefined;
    for await (const { sequence, data } of recordsOf(this.#options.journal, this.#name)) {
      this.#sequence = sequence;
      // Those that follow one that is damaged may go by what was open in it.
      if (this.#full) continue;
      try {
        newest = nextMark(fromBinary(SpansExportedSchema, data), newest);
      } catch (error) {
        this.#full = true;
        const { log } = this.#options;
        log.warn({ err: error }, "how far spans are exported cannot be read: some may be exported again, or never");
      }
    }
    return newest;
  }

  async #write({ toldMs, openMs, openRunIds }: ExportMark): Promise<void> {
    const { journal } = this.#options;
    const outgrown = this.#full || this.#sequence >= recordsPerStream ? this.#name : undefined;
    if (outgrown !== undefined) {
      this.#stream++;
      this.#sequence = 0;
      this.#full = false;
      this.#storedRunIds = undefined;
    }
    const record = create(SpansExportedSchema, {
      ...{ time: timestampFromMs(toldMs), openTime: timestampFromMs(openMs) },
      // They may be 70 kB, and there are up to two marks in a second.
      openRunIds: openRunIds === this.#storedRunIds ? [] : [...openRunIds],
    });
    const append = {
      stream: this.#name,
      expectedSequence: this.#sequence,
      records: [toBinary(SpansExportedSchema, record)],
    };
    await journal.append([append], { impatient: true });
    this.#sequence++;
    this.#storedRunIds = openRunIds;
    if (outgrown !== undefined) this.#delete([outgrown]);
  }

  /** Nobody waits for it: on a full disk it would be for good, and the next start does it. */
  #delete(streams: readonly string[]): void {
    if (streams.length > 0) this.#options.journal.deleteStreams(streams).catch(() => undefined);
  }

  get #name(): string {
    return `${prefix}${this.#stream}`;
  }

  #work(work: () => Promise<void>): void {
    this.#working = this.#working.then(work).catch((error: unknown) => this.#complain(error));
  }

  #complain(error: unknown): void {
    const { log } = this.#options;
    log.warn({ err: error }, "how far spans are exported could not be stored: a restart would export some again");
  }
}

/** A mark that goes by the same moment as the one before does not repeat what was open then. */
function nextMark({ time, openTime, openRunIds }: SpansExported, before: ExportMark | undefined): ExportMark {
  const [toldMs, openMs] = [msFromTimestamp(time), msFromTimestamp(openTime)];
  const same = openRunIds.length === 0 && before?.openMs === openMs;
  return { toldMs, openMs, openRunIds: same ? before.openRunIds : openRunIds };
}
