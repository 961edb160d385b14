import type { SystemCall } from "./system-calls.ts";

const frameHeaderBytes = 24;

/** A transaction in SQLite's write-ahead log: its frames, one page each (https://sqlite.org/walformat.html). */
interface Transaction {
  readonly pages: Buffer[];
  /** When its last frame, which makes it one, had been written. */
  readonly written: number;
}

/** What a traced server wrote to its write-ahead log, and when it was durable. */
export class LogWrites {
  readonly #transactions: Transaction[] = [];
  readonly #syncs: SystemCall[];

  constructor(calls: readonly SystemCall[]) {
    const ofLog = calls.filter(({ file }) => file.endsWith("-wal"));
    this.#syncs = ofLog.filter(({ name, result }) => (name === "fdatasync" || name === "fsync") && result === 0);
    let pages: Buffer[] = [];
    let commits = false;
    for (const { name, data, result, ended, numbers } of ofLog) {
      if (name !== "pwrite64") {
        continue;
      }
      if (result !== data.length) {
        throw new Error(`the log was written in part: ${result} of ${data.length} bytes`);
      }
      if (data.length === frameHeaderBytes) {
        // The size of the database after the transaction, in its last frame only.
        commits = data.readUInt32BE(4) !== 0;
      } else if (numbers.at(-1) !== 0) {
        pages.push(data);
        if (commits) {
          this.#transactions.push({ pages, written: ended });
          pages = [];
        }
      }
    }
  }

  /** How often the log was synced. */
  get syncs(): number {
    return this.#syncs.length;
  }

  /**
   * When the transaction that first wrote these bytes was durable: when the first sync had returned that began after its
   * last frame was written. Infinity when there was none.
   *
   * @throws Error when the bytes are in no page: then the test looks for the wrong thing
   */
  durableAt(bytes: Uint8Array, what: string): number {
    const transaction = this.#transactions.find(({ pages }) => pages.some((page) => page.includes(bytes)));
    if (transaction === undefined) {
      throw new Error(`${what} was never written to the log`);
    }
    const ends = this.#syncs.filter(({ began }) => began > transaction.written).map(({ ended }) => ended);
    return Math.min(...ends);
  }
}
