/** What is looked at with each sample. What is absent is not known, and keeps nobody from serving. */
export interface ReadinessFacts {
  readonly diskFreeBytes?: number | undefined;
  readonly diskSizeBytes?: number | undefined;
  /** For how long the journal has not made durable what it was given. */
  readonly journalUnansweredSeconds?: number | undefined;
  /** The longest in the period of the sample. */
  readonly eventLoopMaxDelaySeconds?: number | undefined;
}

interface Condition {
  /** Why the server cannot serve now; undefined where it can. */
  bad(facts: ReadinessFacts): string | undefined;
  /** Whether it is well again: with some room, so that it does not come and go. */
  good(facts: ReadinessFacts): boolean;
}

/** So many samples in a row say the same before anybody goes by them: 20 s. */
const samples = 2;

/** What is left for the journal to end what it has begun. */
const leastFreeBytes = 64 * 2 ** 20;
const leastFreeShare = 0.01;
const stuckSeconds = 3;
const hungSeconds = 9;

const conditions: readonly Condition[] = [
  {
    bad: ({ diskFreeBytes: free, diskSizeBytes: size }) =>
      free === undefined || size === undefined || free >= leastFree(size)
        ? undefined
        : `the disk of the data directory has ${Math.floor(free / 2 ** 20)} MiB left`,
    good: ({ diskFreeBytes: free, diskSizeBytes: size }) =>
      free === undefined || size === undefined || free >= 2 * leastFree(size),
  },
  {
    bad: ({ journalUnansweredSeconds: seconds = 0 }) =>
      seconds < hungSeconds ? undefined : `the journal has not answered for ${Math.round(seconds)} s`,
    good: ({ journalUnansweredSeconds: seconds = 0 }) => seconds < hungSeconds,
  },
  {
    bad: ({ eventLoopMaxDelaySeconds: delay = 0 }) =>
      delay < stuckSeconds ? undefined : `the event loop was stuck for ${delay.toFixed(1)} s`,
    good: ({ eventLoopMaxDelaySeconds: delay = 0 }) => delay < stuckSeconds / 3,
  },
];

/**
 * Whether a server can do its work at all, by what is measured of it. Only what makes serving wrong counts: a server whose
 * runs fail answers as well as any other that calls the same back-ends, and taking it away makes it worse for those that
 * are left.
 */
export class Readiness {
  readonly #states = conditions.map(() => ({ reason: "", streak: 0 }));

  /** Why the server should get no work; empty where it should. */
  get reason(): string {
    return this.#states.find(({ reason }) => reason !== "")?.reason ?? "";
  }

  /** With each sample. */
  sampled(facts: ReadinessFacts): void {
    for (const [i, { bad, good }] of conditions.entries()) {
      const state = this.#states[i];
      if (state === undefined) continue;
      const reason = bad(facts);
      const turns = state.reason === "" ? reason !== undefined : good(facts);
      state.streak = turns ? state.streak + 1 : 0;
      if (state.streak < samples) continue;
      state.streak = 0;
      state.reason = state.reason === "" ? (reason ?? "") : "";
    }
  }
}

/** A small disk is full later. */
function leastFree(sizeBytes: number): number {
  return Math.min(leastFreeBytes, leastFreeShare * sizeBytes);
}
