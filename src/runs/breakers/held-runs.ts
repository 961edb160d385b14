import { SortedList } from "../../sorted-list.ts";

/** There is one for each run that a breaker holds, possibly very many: small. */
interface HeldRun {
  readonly runId: string;
  readonly priority: number;
  readonly acceptedMs: number;
  readonly order: number;
}

/** The runs that a breaker holds, in the order in which they go on: higher priority first, then as they were accepted. */
export class HeldRuns {
  readonly #runs = new Map<string, HeldRun>();
  readonly #line = new SortedList<HeldRun>(goesBefore);
  /** Those that an open breaker does not keep. */
  readonly #leaving = new Set<string>();
  #added = 0;

  get size(): number {
    return this.#runs.size;
  }

  has(runId: string): boolean {
    return this.#runs.has(runId);
  }

  /** Adds a run, unless it is held already. @param leavesOnOpen an open breaker does not keep it: it fails, or has a fallback */
  add(runId: string, priority: number, acceptedMs: number, leavesOnOpen: boolean): void {
    if (leavesOnOpen) {
      this.#leaving.add(runId);
    } else {
      this.#leaving.delete(runId);
    }
    if (!this.#runs.has(runId)) {
      const run: HeldRun = { runId, priority, acceptedMs, order: this.#added++ };
      this.#runs.set(runId, run);
      this.#line.add(run);
    }
  }

  /** The first one, taken out. */
  take(): { readonly runId: string; readonly priority: number } | undefined {
    const { first } = this.#line;
    if (first !== undefined) {
      this.remove(first.runId);
    }
    return first;
  }

  /** Those that an open breaker does not keep, each named once. They are held until they are removed. */
  takeLeaving(): readonly { readonly runId: string; readonly priority: number }[] {
    const leaving = [...this.#leaving].flatMap((runId) => this.#runs.get(runId) ?? []);
    this.#leaving.clear();
    return leaving;
  }

  /** Whether it was held. */
  remove(runId: string): boolean {
    const run = this.#runs.get(runId);
    if (run === undefined) {
      return false;
    }
    this.#runs.delete(runId);
    this.#leaving.delete(runId);
    this.#line.remove(run);
    return true;
  }

  /** 1 is next; undefined for a run that is not held. */
  position(runId: string): number | undefined {
    const run = this.#runs.get(runId);
    return run && this.#line.countBefore(run) + 1;
  }
}

function goesBefore(a: HeldRun, b: HeldRun): boolean {
  if (a.priority !== b.priority) {
    return a.priority > b.priority;
  }
  return a.acceptedMs === b.acceptedMs ? a.order < b.order : a.acceptedMs < b.acceptedMs;
}
