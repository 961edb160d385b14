import { decodeEvent } from "./events.ts";
import { LateCommits } from "./late-commits.ts";
import { LiveRun, type LiveRunPorts } from "./live-run.ts";
import { runStream } from "./ports/journal.ts";
import { type RunEventBody, reduceRun } from "./run-record.ts";

/** Events that are read at once when a run comes back into memory. */
const pageSize = 1000;

/**
 * The runs that are in memory: those that work, have callers, or are being steered. All others are a row in the journal
 * and are read when their turn comes.
 */
export class LiveRuns {
  readonly #ports: LiveRunPorts;
  readonly #runs = new Map<string, Place>();
  readonly #loading = new Map<string, Promise<LiveRun | undefined>>();

  constructor(ports: Omit<LiveRunPorts, "late">) {
    this.#ports = { ...ports, late: new LateCommits(ports.clock) };
  }

  get size(): number {
    return this.#runs.size;
  }

  *values(): Iterable<LiveRun> {
    for (const { run } of this.#runs.values()) {
      if (run !== undefined) {
        yield run;
      }
    }
  }

  get(runId: string): LiveRun | undefined {
    return this.#runs.get(runId)?.run;
  }

  /** A new run, in memory and nowhere else. */
  accept(body: RunEventBody & { case: "accepted" }, nowMs: number, listedMs: number): LiveRun {
    const run = LiveRun.accept(this.#ports, body, nowMs, listedMs);
    this.#runs.set(run.id, { run });
    return run;
  }

  /** The run, read from the journal if need be; undefined if there is none. Release it when done. */
  async hold(runId: string): Promise<LiveRun | undefined> {
    for (;;) {
      const run = this.get(runId) ?? (await this.#load(runId));
      if (run === undefined) {
        return undefined;
      }
      // It may have been let go while this was waiting; a run has one place in memory at a time.
      if (this.get(runId) === run) {
        run.holders += 1;
        return run;
      }
    }
  }

  /** The counterpart of `hold`. */
  release(run: LiveRun): void {
    run.holders -= 1;
    this.settle(run);
  }

  /** Lets a run go when nobody needs it in memory any more. */
  settle(run: LiveRun): void {
    if (!idle(run)) {
      return;
    }
    if (run.quiet) {
      this.drop(run);
    } else {
      // Not before the journal has it all, or whoever reads it next would read less than there is.
      run.durable.then(
        () => this.#forget(run),
        () => this.#forget(run),
      );
    }
  }

  /** Lets a run go that memory and journal disagree about. */
  drop(run: LiveRun): void {
    const place = this.#runs.get(run.id);
    if (place?.run === run) {
      place.run = undefined;
      this.#runs.delete(run.id);
    }
  }

  #forget(run: LiveRun): void {
    if (idle(run)) {
      this.drop(run);
    }
  }

  #load(runId: string): Promise<LiveRun | undefined> {
    let loading = this.#loading.get(runId);
    if (loading === undefined) {
      loading = this.#read(runId).finally(() => this.#loading.delete(runId));
      this.#loading.set(runId, loading);
    }
    return loading;
  }

  async #read(runId: string): Promise<LiveRun | undefined> {
    const stream = runStream(runId);
    const events = [];
    for (;;) {
      const records = await this.#ports.journal.read(stream, events.length, pageSize);
      for (const record of records) {
        events.push(decodeEvent(stream, record));
      }
      if (records.length < pageSize) {
        break;
      }
    }
    const record = reduceRun(events);
    if (record === undefined) {
      return undefined;
    }
    // Somebody may have accepted or read it meanwhile.
    const known = this.get(runId);
    if (known !== undefined) {
      return known;
    }
    const run = LiveRun.restore(this.#ports, record);
    this.#runs.set(runId, { run });
    return run;
  }
}

/**
 * A run in memory, until it is let go. A busy map makes itself a new table every few dozen entries, and leaves the old one
 * to the next full garbage collection with all that it holds: not runs, if it holds places.
 */
interface Place {
  run: LiveRun | undefined;
}

function idle(run: LiveRun): boolean {
  return run.turn === undefined && run.callers === 0 && run.holders === 0;
}
