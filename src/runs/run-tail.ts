import type { RunEvent } from "../../gen/retake/v1/run_pb.js";
import { decodeEvent } from "./events.ts";
import type { Feed, FeedHint } from "./ports/feed.ts";
import { type Journal, runStream } from "./ports/journal.ts";

/** Events that are read at once, and kept for those who are a little behind. */
const pageSize = 256;

/**
 * The newest events of one run, read once for all who watch it. Whoever is further behind than what is kept reads the
 * journal for himself, a page at a time.
 */
export class RunTail {
  readonly #journal: Journal;
  readonly #stream: string;
  readonly #listeners = new Set<(hint: FeedHint) => void>();
  readonly #unsubscribe: () => void;
  /** Consecutive events, oldest first. */
  #kept: RunEvent[] = [];
  #reading: Promise<void> | undefined;
  /** The event behind which a read has found nothing, unless something has been told since it began. */
  #end: number | undefined;
  /** Counts what has been told. */
  #told = 0;

  constructor(runId: string, journal: Journal, feed: Feed) {
    this.#journal = journal;
    this.#stream = runStream(runId);
    this.#unsubscribe = feed.subscribe(runId, (hint) => {
      if (hint.kind === "events") {
        this.doubt();
      }
      for (const listener of this.#listeners) {
        listener(hint);
      }
    });
  }

  /** How many watch. */
  get watchers(): number {
    return this.#listeners.size;
  }

  listen(listener: (hint: FeedHint) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hints may be lost: look again. */
  doubt(): void {
    this.#told += 1;
    this.#end = undefined;
  }

  close(): void {
    this.#unsubscribe();
  }

  /** Some of the events after a number, oldest first; none when there are no more by now. */
  async after(sequence: number): Promise<readonly RunEvent[]> {
    for (;;) {
      const known = this.#slice(sequence);
      if (known !== undefined) {
        return known;
      }
      if (sequence === this.#end) {
        return [];
      }
      if (this.#reading === undefined) {
        return this.#read(sequence);
      }
      // Those who come while a read is under way want the same, mostly.
      await this.#reading;
    }
  }

  /** What is kept after a number; undefined when that does not answer the question. */
  #slice(sequence: number): readonly RunEvent[] | undefined {
    const first = this.#kept[0];
    if (first === undefined) {
      return undefined;
    }
    const index = sequence + 1 - Number(first.sequence);
    return index >= 0 && index < this.#kept.length ? this.#kept.slice(index) : undefined;
  }

  async #read(sequence: number): Promise<readonly RunEvent[]> {
    const told = this.#told;
    const reading = Promise.withResolvers<void>();
    this.#reading = reading.promise;
    try {
      const records = await this.#journal.read(this.#stream, sequence, pageSize);
      const events = records.map((record) => decodeEvent(this.#stream, record));
      if (events.length === 0 && told === this.#told) {
        this.#end = sequence;
      }
      this.#keep(events);
      return events;
    } finally {
      this.#reading = undefined;
      reading.resolve();
    }
  }

  #keep(events: readonly RunEvent[]): void {
    const first = events[0];
    if (first === undefined) {
      return;
    }
    const last = this.#kept.at(-1);
    if (last !== undefined && first.sequence > last.sequence + 1n) {
      this.#kept = [];
    }
    if (last !== undefined && first.sequence <= last.sequence) {
      // Older than what is kept, or overlapping: a reader far behind. The newest stay.
      const fresh = events.filter((event) => event.sequence > last.sequence);
      if (fresh.length === 0) {
        return;
      }
      this.#kept.push(...fresh);
    } else {
      this.#kept.push(...events);
    }
    if (this.#kept.length > pageSize) {
      this.#kept = this.#kept.slice(-pageSize);
    }
  }
}
