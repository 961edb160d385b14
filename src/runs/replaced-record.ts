import { recordsOf, streamsNamed } from "./named-streams.ts";
import type { Journal } from "./ports/journal.ts";

/**
 * One record in the journal that the next one replaces. Each is in a stream of its own, numbered, which is deleted when the next
 * one is there: a crash leaves the newest, or that and those before it.
 */
export class ReplacedRecord {
  readonly #journal: Pick<Journal, "append" | "listStreams" | "read" | "deleteStreams">;
  readonly #prefix: string;
  /** The number of the newest stream. */
  #stream = 0;
  #isThere = false;

  constructor(journal: Pick<Journal, "append" | "listStreams" | "read" | "deleteStreams">, prefix: string) {
    this.#journal = journal;
    this.#prefix = prefix;
  }

  /** What an earlier process has left; undefined for nothing. */
  async open(): Promise<Uint8Array | undefined> {
    const numbers: number[] = [];
    for await (const stream of streamsNamed(this.#journal, this.#prefix)) {
      numbers.push(Number(stream.slice(this.#prefix.length)));
    }
    numbers.sort((a, b) => a - b);
    const newest = numbers.pop();
    if (newest === undefined) {
      return undefined;
    }
    this.#stream = newest;
    this.#isThere = true;
    let data: Uint8Array | undefined;
    for await (const record of recordsOf(this.#journal, this.#named(newest))) {
      data = record.data;
    }
    // A deletion waits for as long as the storage fails, and no start for it: the next one finds what is left.
    void this.#delete(numbers).catch(() => undefined);
    return data;
  }

  /** Replaces it, by nothing if need be. Gives up while the journal cannot store anything; what is there stays then. */
  async store(record: Uint8Array | undefined): Promise<void> {
    const before = this.#isThere ? [this.#stream] : [];
    if (record === undefined) {
      this.#isThere = false;
    } else {
      const append = { stream: this.#named(this.#stream + 1), expectedSequence: 0, records: [record] };
      await this.#journal.append([append], { impatient: true });
      this.#stream++;
      this.#isThere = true;
    }
    await this.#delete(before);
  }

  async #delete(numbers: readonly number[]): Promise<void> {
    if (numbers.length > 0) {
      await this.#journal.deleteStreams(numbers.map((number) => this.#named(number)));
    }
  }

  #named(number: number): string {
    return `${this.#prefix}${number}`;
  }
}
