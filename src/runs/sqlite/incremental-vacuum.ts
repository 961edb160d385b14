import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock, Timer } from "../../clock.ts";
import type { SizedOperation } from "./group-commit.ts";
import { canVacuum } from "./vacuum-mode.ts";

/** Pages that one transaction gives back: half a millisecond, and what it moves goes into the log. */
const pagesAtOnce = 64;
const pageBytes = 4_096;
/** Between two of them, so that the server has nearly all of its time for runs. */
const pauseMs = 20;

/** Free pages that stay in any case: new runs take them sooner than the file system gives others. 8 MiB. */
const leastKept = 2_048;

export interface IncrementalVacuumOptions {
  readonly database: DatabaseSync;
  /** Orders an operation of the one writer. */
  readonly enqueue: (operation: SizedOperation) => void;
  readonly clock: Clock;
  readonly pagesKept?: number;
}

/**
 * Gives the pages of deleted runs back to the file system, a few at a time. Free pages are reused first, so it begins only
 * when more than a quarter of the database is free, and ends at an eighth: what comes and goes evenly is never moved.
 */
export class IncrementalVacuum {
  readonly #options: IncrementalVacuumOptions;
  readonly #possible: boolean;
  readonly #free: StatementSync;
  readonly #pages: StatementSync;
  #timer: Timer | undefined;
  #running = false;
  #stopped = false;

  constructor(options: IncrementalVacuumOptions) {
    this.#options = options;
    this.#possible = canVacuum(options.database);
    this.#free = options.database.prepare("PRAGMA freelist_count");
    this.#pages = options.database.prepare("PRAGMA page_count");
  }

  /** Something has been deleted. */
  consider(): void {
    if (this.#possible && !this.#running && !this.#stopped && this.#surplus(4) > 0) {
      this.#running = true;
      this.#wait();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #wait(): void {
    this.#timer = this.#options.clock.setTimeout(() => this.#step(), pauseMs);
  }

  #step(): void {
    const count = Math.min(pagesAtOnce, this.#surplus(8));
    if (count <= 0 || this.#stopped) {
      this.#running = false;
      return;
    }
    this.#options.enqueue({
      appends: [],
      impatient: false,
      // Each page that is given back may move another one, and change what refers to that.
      bytes: 2 * count * pageBytes,
      apply: () => this.#options.database.exec(`PRAGMA incremental_vacuum(${count})`),
      settle: (failure) => {
        // While the storage fails nothing is urgent; the next deletion asks again.
        this.#running = failure === undefined && !this.#stopped;
        if (this.#running) {
          this.#wait();
        }
      },
    });
  }

  /** Free pages beyond a part of all. */
  #surplus(part: number): number {
    try {
      const free = Number(this.#free.get()?.["freelist_count"]);
      const pages = Number(this.#pages.get()?.["page_count"]);
      return free - Math.max(this.#options.pagesKept ?? leastKept, Math.ceil(pages / part));
    } catch {
      // A storage that fails is told of by those who need it.
      return 0;
    }
  }
}
