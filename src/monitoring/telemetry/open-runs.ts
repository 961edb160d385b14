import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { isTerminal } from "../../runs/index.ts";

const { QUEUED, RUNNING, PARKED, DELEGATED, CANCELLING } = RunState;

/** A queue grows from nothing: that there was nothing has to be told before. */
const counted: readonly RunState[] = [QUEUED, RUNNING];

/** The states in which it matters for how long a run has been in them: one that is BACKING_OFF waits for a time that is known. */
const timed: readonly RunState[] = [QUEUED, RUNNING, PARKED, DELEGATED, CANCELLING];

/** The open runs of a workflow, counted by state as they come and go. */
export class OpenRuns {
  readonly #counts = new Map<RunState, number>(counted.map((state) => [state, 0]));
  readonly #since = new Map<RunState, Since>(timed.map((state) => [state, new Since()]));

  /**
   * @param from UNSPECIFIED for a run that comes in
   * @param timeMs of whatever clock `oldest` is to tell
   */
  move(runId: string, from: RunState, to: RunState, timeMs: number): void {
    if (from !== RunState.UNSPECIFIED) {
      this.#add(from, -1);
      this.#since.get(from)?.delete(runId);
    }
    if (!isTerminal(to)) {
      this.#add(to, 1);
      this.#since.get(to)?.add(runId, timeMs);
    }
  }

  /** By state, those among them in which there was a run before and is none now. */
  counts(): Iterable<readonly [RunState, number]> {
    return this.#counts;
  }

  /** Since when the run is in its state that is longest in it; nothing for states without a run. */
  *oldest(): Iterable<readonly [RunState, number]> {
    for (const [state, since] of this.#since) {
      const oldestMs = since.oldestMs();
      if (oldestMs !== undefined) yield [state, oldestMs];
    }
  }

  #add(state: RunState, change: number): void {
    this.#counts.set(state, Math.max(0, (this.#counts.get(state) ?? 0) + change));
  }
}

/** By so much the first of them may be younger than the oldest: clocks are read one after the other. */
const toleratedMs = 1_000;

/** Since when runs are in one state. They mostly come in the order of time, so that the first is the oldest. */
class Since {
  readonly #times = new Map<string, number>();
  #newestMs = Number.NEGATIVE_INFINITY;
  #ordered = true;

  add(runId: string, timeMs: number): void {
    if (this.#times.size === 0) {
      this.#ordered = true;
    } else if (timeMs < this.#newestMs - toleratedMs) {
      // Those of an earlier process come as they are found, and the clock may be set back.
      this.#ordered = false;
    }
    this.#newestMs = timeMs;
    this.#times.set(runId, timeMs);
  }

  delete(runId: string): void {
    this.#times.delete(runId);
  }

  oldestMs(): number | undefined {
    if (this.#ordered) {
      const { value } = this.#times.values().next();
      return value;
    }
    let oldestMs: number | undefined;
    for (const timeMs of this.#times.values()) {
      if (oldestMs === undefined || timeMs < oldestMs) oldestMs = timeMs;
    }
    return oldestMs;
  }
}
