import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Run } from "../../../gen/retake/v1/run_pb.js";
import type { RetakeClient, RunUpdate } from "../../client/index.ts";
import type { Clock } from "../../clock.ts";

export interface RunFeedEvents {
  onUpdate(run: Run, update: RunUpdate): void;
  /** More runs than anybody reads began at once; they are not shown one by one. */
  onMany(count: number): void;
}

/** How often it looks for new runs: soon enough to look immediate. */
const pollMs = 250;

/** Runs that are followed at once. More lines than that scroll by unread. */
const mostFollowed = 20;

/** In one look. */
const pageSize = 100;

/** Tells what happens to all runs of a server from its construction on, over restarts: each event once. */
export class RunFeed {
  readonly #clock: Clock;
  readonly #events: RunFeedEvents;
  /** The last event of each run that was told; "ended" behind the last. */
  readonly #known = new Map<string, bigint | "ended">();
  readonly #followed = new Set<string>();
  /** What had ended by then is history. */
  readonly #sinceMs: number;

  constructor(clock: Clock, events: RunFeedEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#sinceMs = clock.now();
  }

  /** Follows what a server does until the signal is aborted. Never rejects: a server that is gone is told by others. */
  async follow(retake: RetakeClient, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(retake, signal).catch(() => undefined);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          timer.cancel();
          signal.removeEventListener("abort", done);
          resolve();
        };
        const timer = this.#clock.setTimeout(done, pollMs);
        signal.addEventListener("abort", done, { once: true });
      });
    }
  }

  async #look(retake: RetakeClient, signal: AbortSignal): Promise<void> {
    const { runs } = await retake.runs.listRuns({ pageSize }, { signal });
    let unfollowed = 0;
    // Oldest first, as they began.
    for (const run of runs.toReversed()) {
      const known = this.#known.get(run.runId);
      if (known === "ended" || this.#followed.has(run.runId)) continue;
      if (known === undefined && run.endTime !== undefined && timestampMs(run.endTime) < this.#sinceMs) {
        this.#known.set(run.runId, "ended");
      } else if (this.#followed.size < mostFollowed) {
        void this.#watch(retake, run, known ?? 0n, signal);
      } else {
        unfollowed += 1;
        this.#known.set(run.runId, "ended");
      }
    }
    this.#forget(runs);
    if (unfollowed > 0) this.#events.onMany(unfollowed);
  }

  async #watch(retake: RetakeClient, run: Run, afterSequence: bigint, signal: AbortSignal): Promise<void> {
    this.#followed.add(run.runId);
    this.#known.set(run.runId, afterSequence);
    try {
      for await (const update of retake.attach(run.runId).events({ afterSequence, signal })) {
        if (update.kind === "event") this.#known.set(run.runId, update.event.sequence);
        this.#events.onUpdate(run, update);
      }
      this.#known.set(run.runId, "ended");
    } catch {
      // The server is gone, or about to be: the next one goes on where this one ended.
    } finally {
      this.#followed.delete(run.runId);
    }
  }

  /** Those that are off the first page will not be listed again. */
  #forget(listed: readonly Run[]): void {
    if (this.#known.size < 10 * pageSize) return;
    const recent = new Set(listed.map(({ runId }) => runId));
    for (const [runId, state] of this.#known) {
      if (state === "ended" && !recent.has(runId)) this.#known.delete(runId);
    }
  }
}
