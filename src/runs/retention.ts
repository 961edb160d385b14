import { RunState } from "../../gen/retake/v1/run_pb.js";
import type { Clock } from "../clock.ts";
import type { Policy } from "../contract/index.ts";
import { decodeEvent } from "./events.ts";
import type { Logger } from "./logger.ts";
import type { Artifacts } from "./ports/artifacts.ts";
import { type EndedRun, type Journal, runStream } from "./ports/journal.ts";
import type { Payloads } from "./ports/payloads.ts";
import { runPages } from "./run-pages.ts";
import type { RunRecord } from "./run-record.ts";
import { Sweeper } from "./sweeper.ts";
import { msFromTimestamp } from "./time.ts";

export interface RetentionOptions {
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly artifacts: Pick<Artifacts, "release">;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many ended runs are kept, as of now. Default: any number. */
  readonly limits?: () => readonly RetentionLimit[];
}

/** So many ended runs without a parent are kept at most. */
export interface RetentionLimit {
  readonly state: RunState;
  /** Default: of all workflows together. */
  readonly workflow?: string;
  readonly most: number;
}

export interface RetentionTimes {
  readonly succeededMs: number;
  readonly unsuccessfulMs: number;
}

/** A key keeps its meaning at least this long after its run has ended. */
const leastKeyMs = 24 * 60 * 60 * 1000;

const sweepIntervalMs = 60_000;
/** Small, because deleting shares its transaction with runs that are being accepted. */
const batchSize = 50;

/** When a run that has ended may be deleted; undefined for children, which go with their parent. */
export function retireAtMs(run: RunRecord, policy: Policy | undefined, server: RetentionTimes): number | undefined {
  if (run.accepted.parentRunId !== "") {
    return undefined;
  }
  const keepMs =
    run.state === RunState.SUCCEEDED
      ? (policy?.retention.succeededMs ?? server.succeededMs)
      : (policy?.retention.unsuccessfulMs ?? server.unsuccessfulMs);
  const least = run.accepted.idempotencyKey === "" ? 0 : leastKeyMs;
  return Math.ceil((run.endTimeMs ?? run.lastEventMs) + Math.max(keepMs, least));
}

/** Deletes ended runs whose time is over, or of which there are too many, with their children, payloads and keys, in small batches. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #sweeper: Sweeper;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#sweeper = new Sweeper({
      clock: options.clock,
      intervalMs: sweepIntervalMs,
      sweep: () => this.sweep(),
      failed: (error) => options.log.warn({ err: error }, "ended runs could not be deleted; tried again later"),
    });
  }

  start(): void {
    this.#sweeper.start();
  }

  stop(): Promise<void> {
    return this.#sweeper.stop();
  }

  /** Deletes all that is due; returns how many runs that were. */
  async sweep(): Promise<number> {
    return (await this.#sweepOver()) + (await this.#sweepSurplus());
  }

  /** Deletes runs whose time is over. */
  async #sweepOver(): Promise<number> {
    const { journal, clock } = this.#options;
    let deleted = 0;
    while (!this.#sweeper.stopped) {
      const due = await journal.listRetired(clock.now(), batchSize);
      if (due.length === 0) {
        break;
      }
      deleted += await this.#delete(due);
    }
    return deleted;
  }

  /** Deletes runs of which there are too many, those that were accepted first. */
  async #sweepSurplus(): Promise<number> {
    const { journal, clock } = this.#options;
    const limits = this.#options.limits?.() ?? [];
    if (limits.length === 0) {
      return 0;
    }
    const counts = (await journal.countEnded()).map((each) => ({ ...each }));
    const nowMs = clock.now();
    let deleted = 0;
    for (const limit of limits) {
      const { state, workflow } = limit;
      const counted = counts.filter((each) => each.state === state && (workflow ?? each.workflow) === each.workflow);
      let surplus = counted.reduce((sum, { count }) => sum + count, 0) - limit.most;
      let position = -1;
      while (surplus > 0 && !this.#sweeper.stopped) {
        const filter = { state, keyedBeforeMs: nowMs - leastKeyMs, ...(workflow === undefined ? {} : { workflow }) };
        const rows = await journal.listEnded(filter, position, Math.min(batchSize, surplus));
        const due: string[] = [];
        for (const row of rows) {
          position = row.position;
          if (!row.keyed || (await this.#isKeyOver(row, nowMs))) {
            due.push(row.runId);
            const count = counted.find((each) => each.workflow === row.workflow);
            if (count !== undefined) {
              count.count--;
            }
          }
        }
        if (rows.length === 0) {
          break;
        }
        surplus -= due.length;
        deleted += await this.#delete(due);
      }
    }
    return deleted;
  }

  /** Whether a run with a key has ended long enough ago. */
  async #isKeyOver({ runId, lastSequence }: EndedRun, nowMs: number): Promise<boolean> {
    const stream = runStream(runId);
    const [last] = await this.#options.journal.read(stream, lastSequence - 1, 1);
    return last !== undefined && msFromTimestamp(decodeEvent(stream, last).time) + leastKeyMs <= nowMs;
  }

  /** Deletes runs with their descendants; returns how many that were. */
  async #delete(due: readonly string[]): Promise<number> {
    const { journal, payloads, artifacts } = this.#options;
    const runIds = await this.#withDescendants(due);
    for (let start = 0; start < runIds.length; start += batchSize) {
      const batch = runIds.slice(start, start + batchSize);
      await payloads.deleteRuns(batch);
      await artifacts.release(batch);
      await journal.deleteStreams(batch.map(runStream));
    }
    return runIds.length;
  }

  /** Children first: what is left after a crash in between still hangs together with its parent. */
  async #withDescendants(runIds: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (const runId of runIds) {
      const children: string[] = [];
      for await (const rows of runPages(this.#options.journal, { parentRunId: runId })) {
        children.push(...rows.map((row) => row.runId));
      }
      found.push(...(children.length === 0 ? [] : await this.#withDescendants(children)), runId);
    }
    return found;
  }
}
