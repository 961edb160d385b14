import type { Clock } from "../../clock.ts";
import type {
  AppendOptions,
  EndedCount,
  EndedFilter,
  EndedRun,
  Journal,
  JournalRecord,
  JournalStatus,
  RunFilter,
  RunIndexRow,
  RunOwner,
  RunPage,
  Settled,
  StreamAppend,
} from "../ports/journal.ts";
import { appendPromise } from "../storage/append-promise.ts";
import { checkAppends } from "../storage/check-appends.ts";
import type { StorageHealth } from "../storage/storage-health.ts";
import type { EndedRuns } from "./ended-runs.ts";
import type { GroupCommit, SizedOperation } from "./group-commit.ts";
import type { IncrementalVacuum } from "./incremental-vacuum.ts";
import type { RunSearch } from "./run-search.ts";
import type { StreamTable } from "./stream-table.ts";

/** Streams that one transaction deletes: a run costs about 30 µs. */
const deletedAtOnce = 64;

export interface SqliteJournalOptions {
  readonly commit: GroupCommit;
  readonly streams: StreamTable;
  readonly search: RunSearch;
  readonly ended: EndedRuns;
  readonly vacuum: IncrementalVacuum;
  readonly clock: Clock;
  readonly health: StorageHealth;
  readonly close: () => Promise<void>;
}

/** The journal in an SQLite database. */
export class SqliteJournal implements Journal {
  readonly #options: SqliteJournalOptions;

  constructor(options: SqliteJournalOptions) {
    this.#options = options;
  }

  get status(): JournalStatus {
    return this.#options.health.status;
  }

  onStatus(listener: (status: JournalStatus) => void): () => void {
    return this.#options.health.onStatus(listener);
  }

  append(appends: readonly StreamAppend[], options?: AppendOptions): Promise<void> {
    return appendPromise(this, appends, options);
  }

  order(appends: readonly StreamAppend[], settled: Settled, options?: AppendOptions): void {
    const { commit, streams } = this.#options;
    checkAppends(appends);
    commit.enqueue(new Append(streams, appends, options?.impatient === true, settled));
  }

  read(stream: string, afterSequence: number, limit: number): Promise<readonly JournalRecord[]> {
    const { commit, streams } = this.#options;
    return commit.read(() => streams.read(stream, afterSequence, limit));
  }

  listStreams(prefix: string, afterName: string, limit: number): Promise<readonly string[]> {
    const { commit, streams } = this.#options;
    return commit.read(() => streams.list(prefix, afterName, limit));
  }

  listRuns(filter: RunFilter, page: RunPage): Promise<readonly RunIndexRow[]> {
    return this.#inSteps((pause) => this.#options.search.find(filter, page, pause));
  }

  findRunByKey(owner: RunOwner, workflow: string, key: string): Promise<RunIndexRow | undefined> {
    const { commit, search } = this.#options;
    return commit.read(() => search.findByKey(owner, workflow, key));
  }

  listRetired(timeMs: number, limit: number): Promise<readonly string[]> {
    const { commit, streams } = this.#options;
    return commit.read(() => streams.retired(timeMs, limit).map((name) => name.slice("run/".length)));
  }

  countEnded(): Promise<readonly EndedCount[]> {
    return this.#inSteps((pause) => this.#options.ended.count(pause));
  }

  listEnded(filter: EndedFilter, afterPosition: number, limit: number): Promise<readonly EndedRun[]> {
    return this.#inSteps((pause) => this.#options.ended.list(filter, afterPosition, limit, pause));
  }

  async deleteStreams(names: readonly string[]): Promise<void> {
    const { commit, streams, vacuum } = this.#options;
    for (let start = 0; start < names.length; start += deletedAtOnce) {
      const portion = names.slice(start, start + deletedAtOnce);
      let marked = false;
      await commit.change(() => {
        marked = streams.delete(portion);
      });
      if (marked) {
        await this.deleteMarked();
      }
    }
    vacuum.consider();
  }

  /** Deletes, a portion at a time, the events of long streams that are gone. */
  async deleteMarked(): Promise<void> {
    const { commit, streams } = this.#options;
    let more = true;
    while (more) {
      await commit.change(() => {
        more = streams.deleteMarked();
      });
    }
  }

  /** Reads with pauses in between. */
  async #inSteps<Value>(read: (pause: () => Promise<void>) => Promise<Value>): Promise<Value> {
    const { commit, clock } = this.#options;
    let value: Value;
    try {
      value = await read(() => new Promise((resolve) => clock.setImmediate(resolve)));
    } catch (error) {
      throw commit.readFailed(error);
    }
    return commit.whenDurable(value);
  }

  flush(): Promise<void> {
    return this.#options.commit.flush();
  }

  close(): Promise<void> {
    return this.#options.close();
  }
}

class Append implements SizedOperation {
  readonly appends: readonly StreamAppend[];
  readonly impatient: boolean;
  readonly bytes: number;
  readonly settle: Settled;
  readonly #streams: StreamTable;

  constructor(streams: StreamTable, appends: readonly StreamAppend[], impatient: boolean, settled: Settled) {
    this.#streams = streams;
    this.appends = appends;
    this.impatient = impatient;
    this.settle = settled;
    let bytes = 0;
    for (const { records } of appends) {
      for (const record of records) {
        bytes += record.length;
      }
    }
    this.bytes = bytes;
  }

  apply(): void {
    this.#streams.append(this.appends);
  }
}
