import { RunState } from "../../gen/retake/v1/run_pb.js";
import type { Clock } from "../clock.ts";
import { isInterruption } from "./failure.ts";
import type { Scheduler } from "./ports/scheduler.ts";
import type { RunRecord } from "./run-record.ts";

/** The turn that an earlier process owes a run. There may be very many: small. */
export interface RecoveredWish {
  readonly runId: string;
  readonly priority: number;
  /** When it is to be taken, in ms since the epoch; 0 for as soon as possible. */
  readonly dueMs: number;
  /** Since when the run has waited in line; of one that was at work it is the beginning of time. */
  readonly sinceMs: number;
}

/** What a run that goes on wants next, as its journal says. */
export function wishOf(record: RunRecord): RecoveredWish {
  const { accepted, state, stateSinceMs, createTimeMs, deadlineMs, wakeAtMs, orphanedUntilMs, failedAttempt } = record;
  const waits = state === RunState.BACKING_OFF || state === RunState.PARKED;
  const dueMs = Math.min((waits ? wakeAtMs : undefined) ?? 0, deadlineMs, orphanedUntilMs ?? Number.POSITIVE_INFINITY);
  let sinceMs = stateSinceMs;
  if (waits) {
    // It would have come at the end of its wait; what a gate has parked goes on as it was accepted.
    sinceMs = wakeAtMs ?? createTimeMs;
  } else if (state === RunState.QUEUED && failedAttempt === undefined && isInterruption(record.failure)) {
    // One that has failed by itself may have any reason that its back-end gives.
    sinceMs = Number.NEGATIVE_INFINITY;
  }
  return { runId: accepted.runId, priority: accepted.priority, dueMs, sinceMs };
}

/**
 * The runs that an earlier process has left, in the order in which they go on: all lines (for a permit, for a retry budget)
 * go by who asks first, so this is their order in each of them. First those whose attempts were interrupted, which had a
 * place already; then those that waited, as they came into line; and as they were accepted where that is the same moment.
 */
export class RecoveredLine {
  readonly #scheduler: Pick<Scheduler, "wake">;
  readonly #clock: Pick<Clock, "now">;
  readonly #due: RecoveredWish[] = [];

  constructor(options: { readonly scheduler: Pick<Scheduler, "wake">; readonly clock: Pick<Clock, "now"> }) {
    this.#scheduler = options.scheduler;
    this.#clock = options.clock;
  }

  /** To be called with those that were accepted last first. */
  add(wish: RecoveredWish | undefined): void {
    if (wish === undefined) {
      return;
    }
    if (wish.dueMs > this.#clock.now()) {
      // The scheduler goes by the time itself.
      this.#scheduler.wake(wish.runId, wish.dueMs, wish.priority);
    } else {
      this.#due.push(wish);
    }
  }

  /** Asks for a turn of each. */
  wake(): void {
    // Sorting is stable, and costs next to nothing where most have waited since they were accepted.
    for (const { runId, dueMs, priority } of this.#due.reverse().sort(goesBefore)) {
      this.#scheduler.wake(runId, dueMs, priority);
    }
  }
}

function goesBefore(a: RecoveredWish, b: RecoveredWish): number {
  return a.sinceMs === b.sinceMs ? 0 : a.sinceMs - b.sinceMs;
}
