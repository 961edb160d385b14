import type { RunState } from "../../../gen/retake/v1/run_pb.js";
import { RunState as State } from "../../../gen/retake/v1/run_pb.js";
import {
  type AppendOptions,
  type EndedCount,
  type EndedFilter,
  type EndedRun,
  type Journal,
  JournalConflictError,
  type JournalRecord,
  type JournalStatus,
  type RunFilter,
  type RunIndexEntry,
  type RunIndexRow,
  type RunOwner,
  type RunPage,
  type Settled,
  type StreamAppend,
} from "../ports/journal.ts";
import { appendPromise } from "../storage/append-promise.ts";
import { checkAppends } from "../storage/check-appends.ts";
import { Positions, positionAt } from "../storage/positions.ts";
import type { StorageHealth } from "../storage/storage-health.ts";
import type { MemoryQueue } from "./memory-queue.ts";

interface Stream {
  readonly name: string;
  readonly records: Uint8Array[];
  readonly entry: RunIndexEntry | undefined;
  /** -1 for streams that are no runs. */
  readonly position: number;
  state: RunState;
  retireAtMs: number | undefined;
}

export interface MemoryJournalOptions {
  readonly queue: MemoryQueue;
  readonly health: StorageHealth;
  readonly close: () => Promise<void>;
  /** The journal of a process that has crashed, whose streams this one takes over. */
  readonly crashed?: MemoryJournal | undefined;
}

/** A journal that lasts as long as its process. */
export class MemoryJournal implements Journal {
  readonly #options: MemoryJournalOptions;
  readonly #streams: Map<string, Stream>;
  /** By position, oldest first. */
  readonly #runs: Stream[];
  readonly #positions: Positions;

  constructor(options: MemoryJournalOptions) {
    const { crashed } = options;
    this.#options = options;
    this.#streams = crashed === undefined ? new Map() : crashed.#streams;
    this.#runs = crashed === undefined ? [] : crashed.#runs;
    this.#positions = new Positions(this.#runs.at(-1)?.position ?? -1, (from, before) => {
      const largest = this.#runs[this.#firstFrom(before) - 1]?.position;
      return largest === undefined || largest < from ? undefined : largest;
    });
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
    checkAppends(appends);
    this.#options.queue.enqueue({
      impatient: options?.impatient === true,
      appends,
      apply: () => this.#append(appends),
      settle: settled,
    });
  }

  read(stream: string, afterSequence: number, limit: number): Promise<readonly JournalRecord[]> {
    return this.#options.queue.read(() =>
      (this.#streams.get(stream)?.records ?? [])
        .slice(afterSequence, afterSequence + Math.max(0, limit))
        .map((data, index) => ({ sequence: afterSequence + index + 1, data })),
    );
  }

  listStreams(prefix: string, afterName: string, limit: number): Promise<readonly string[]> {
    return this.#options.queue.read(() =>
      [...this.#streams.keys()]
        .filter((name) => name.startsWith(prefix) && byCodePoints(name, afterName) > 0)
        .sort(byCodePoints)
        .slice(0, Math.max(0, limit)),
    );
  }

  listRuns(filter: RunFilter, page: RunPage): Promise<readonly RunIndexRow[]> {
    return this.#options.queue.read(() => {
      const rows: RunIndexRow[] = [];
      const before = page.beforePosition === undefined ? this.#runs.length : this.#firstFrom(page.beforePosition);
      for (let index = before - 1; index >= 0 && rows.length < page.limit; index--) {
        const run = this.#runs[index];
        if (run?.entry !== undefined && matches(filter, run, run.entry)) {
          rows.push(toRow(run, run.entry));
        }
      }
      return rows;
    });
  }

  findRunByKey(owner: RunOwner, workflow: string, key: string): Promise<RunIndexRow | undefined> {
    return this.#options.queue.read(() => {
      const run = this.#runs.findLast(
        ({ entry }) => entry?.key === key && entry.workflow === workflow && sameOwner(entry.owner, owner),
      );
      return run?.entry === undefined ? undefined : toRow(run, run.entry);
    });
  }

  listRetired(timeMs: number, limit: number): Promise<readonly string[]> {
    return this.#options.queue.read(() =>
      this.#runs
        .flatMap(({ entry, retireAtMs }) =>
          entry === undefined || retireAtMs === undefined || retireAtMs > timeMs ? [] : [{ entry, retireAtMs }],
        )
        .sort((a, b) => a.retireAtMs - b.retireAtMs)
        .slice(0, Math.max(0, limit))
        .map(({ entry }) => entry.runId),
    );
  }

  countEnded(): Promise<readonly EndedCount[]> {
    return this.#options.queue.read(() => {
      const counts = new Map<string, { workflow: string; state: RunState; count: number }>();
      for (const { entry, state, retireAtMs } of this.#runs) {
        if (entry !== undefined && retireAtMs !== undefined) {
          const key = `${state} ${entry.workflow}`;
          const counted = counts.get(key) ?? { workflow: entry.workflow, state, count: 0 };
          counts.set(key, counted);
          counted.count++;
        }
      }
      return [...counts.values()];
    });
  }

  listEnded(filter: EndedFilter, afterPosition: number, limit: number): Promise<readonly EndedRun[]> {
    const { state, workflow, keyedBeforeMs } = filter;
    return this.#options.queue.read(() =>
      this.#runs
        .slice(this.#firstFrom(afterPosition + 1))
        .flatMap((run) => {
          const { entry } = run;
          const ended = entry !== undefined && run.retireAtMs !== undefined && run.state === state;
          if (!ended || (workflow !== undefined && entry.workflow !== workflow)) {
            return [];
          }
          const keyed = entry.key !== undefined;
          return keyed && run.position >= positionAt(keyedBeforeMs) ? [] : [{ ...toRow(run, entry), keyed }];
        })
        .slice(0, Math.max(0, limit)),
    );
  }

  deleteStreams(names: readonly string[]): Promise<void> {
    return this.#options.queue.change(() => {
      for (const name of names) {
        const stream = this.#streams.get(name);
        this.#streams.delete(name);
        if (stream?.entry !== undefined) {
          this.#runs.splice(this.#firstFrom(stream.position), 1);
        }
      }
    });
  }

  flush(): Promise<void> {
    return this.#options.queue.flush();
  }

  close(): Promise<void> {
    return this.#options.close();
  }

  /** The index of the first run at or after a position. */
  #firstFrom(position: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle]?.position ?? 0) < position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  #append(appends: readonly StreamAppend[]): void {
    const projected = new Map<string, number>();
    for (const { stream, expectedSequence, records } of appends) {
      if ((projected.get(stream) ?? this.#streams.get(stream)?.records.length ?? 0) !== expectedSequence) {
        throw new JournalConflictError(stream, expectedSequence);
      }
      projected.set(stream, expectedSequence + records.length);
    }
    for (const append of appends) {
      const stream = this.#streams.get(append.stream) ?? this.#create(append);
      stream.records.push(...append.records);
      stream.state = append.state ?? stream.state;
      stream.retireAtMs = append.retireAtMs ?? stream.retireAtMs;
    }
  }

  #create({ stream: name, create }: StreamAppend): Stream {
    const stream: Stream = {
      name,
      records: [],
      entry: create,
      position: create === undefined ? -1 : this.#positions.next(create.createTimeMs),
      state: State.UNSPECIFIED,
      retireAtMs: undefined,
    };
    this.#streams.set(name, stream);
    if (create !== undefined) {
      this.#runs.splice(this.#firstFrom(stream.position), 0, stream);
    }
    return stream;
  }
}

function matches(filter: RunFilter, run: Stream, entry: RunIndexEntry): boolean {
  const { workflow, states = [], owner, tenant, parentRunId, createdSinceMs, createdBeforeMs } = filter;
  return (
    (workflow === undefined || entry.workflow === workflow) &&
    (states.length === 0 || states.includes(run.state)) &&
    (owner === undefined || sameOwner(entry.owner, owner)) &&
    (tenant === undefined || entry.owner.tenant === tenant) &&
    (parentRunId === undefined || entry.parentRunId === parentRunId) &&
    (createdSinceMs === undefined || entry.createTimeMs >= createdSinceMs) &&
    (createdBeforeMs === undefined || entry.createTimeMs < createdBeforeMs)
  );
}

function sameOwner(a: RunOwner, b: RunOwner): boolean {
  return a.tenant === b.tenant && a.subject === b.subject;
}

function toRow({ state, records, position }: Stream, { runId, workflow }: RunIndexEntry): RunIndexRow {
  return { runId, workflow, state, lastSequence: records.length, position };
}

/** UTF-8 keeps the order of code points; the units that JavaScript compares do not. */
function byCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
