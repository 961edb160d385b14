import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SpansExportedSchema } from "../../../gen/retake/v1/storage_pb.js";
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
  readonly #sender: Pick<BatchSender<unknown>, "added" | "settled">;
  #stream = 1;
  #sequence = 0;
  #open: Pick<ExportMark, "openMs" | "openRunIds"> | undefined;
  /** The next mark. */
  #next: "preparing" | WaitingMark | undefined;
  #begun = false;
  #working: Promise<void> = Promise.resolve();

  constructor(options: ExportMarksOptions, sender: Pick<BatchSender<unknown>, "added" | "settled">) {
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
    let newest: Uint8Array | undefined;
    for await (const { sequence, data } of recordsOf(journal, this.#name)) {
      this.#sequence = sequence;
      newest = data;
    }
    // A crash may have left the ones before.
    if (numbers.length > 1) await journal.deleteStreams(numbers.slice(0, -1).map((number) => `${prefix}${number}`));
    if (newest === undefined) {
      const nowMs = clock.now();
      const first = { toldMs: nowMs, openMs: nowMs, openRunIds: await this.#openRunIds() };
      await this.#write(first).catch((error: unknown) => this.#complain(error));
      return undefined;
    }
    const { time, openTime, openRunIds } = fromBinary(SpansExportedSchema, newest);
    return { toldMs: msFromTimestamp(time), openMs: msFromTimestamp(openTime), openRunIds };
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
      const nowMs = clock.now();
      // What has happened at this moment has been taken, too.
      if (settled === added) await this.#write({ toldMs: nowMs + 1, openMs: nowMs, openRunIds: [] });
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

  async #openRunIds(): Promise<string[]> {
    const rows = await this.#options.journal.listRuns({ states: openStates }, { limit: mostOpen });
    return rows.map(({ runId }) => runId);
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

  async #write({ toldMs, openMs, openRunIds }: ExportMark): Promise<void> {
    const { journal } = this.#options;
    const outgrown = this.#sequence < recordsPerStream ? undefined : this.#name;
    if (outgrown !== undefined) {
      this.#stream++;
      this.#sequence = 0;
    }
    const record = create(SpansExportedSchema, {
      ...{ time: timestampFromMs(toldMs), openTime: timestampFromMs(openMs) },
      openRunIds: [...openRunIds],
    });
    const append = {
      stream: this.#name,
      expectedSequence: this.#sequence,
      records: [toBinary(SpansExportedSchema, record)],
    };
    await journal.append([append], { impatient: true });
    this.#sequence++;
    if (outgrown !== undefined) await journal.deleteStreams([outgrown]);
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
