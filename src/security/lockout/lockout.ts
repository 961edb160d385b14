import type { Clock } from "../../clock.ts";
import type { Blamed } from "../credentials-error.ts";
import { sourceOf } from "../source.ts";
import { type Consequence, FailureCounts, type LockedName, type LockoutSettings } from "./failure-counts.ts";

/** Longer, callers give up and ask again, which holds two calls in place of one. */
const longestHoldMs = 5_000;

/** A held call costs a stream and a timer: beyond this, answers go at once, and the count still grows. */
const mostHeld = 1_000;

type Counted = Consequence & {
  /** What was counted; for a lock, what is locked. */
  readonly by: "source" | "key" | "subject";
  readonly name: string;
};

/** What becomes of a call whose credentials are wrong. */
export type Judgement = Counted & {
  /** How long the answer may be held back for what its address and its key alone have done. */
  readonly holdMs: number;
};

export interface LockedNames {
  readonly sources: readonly LockedName[];
  readonly keys: readonly LockedName[];
  readonly subjects: readonly LockedName[];
}

/**
 * A subject may be a fleet whose tokens all expire at once: of what comes from everywhere, so many times more is let pass as
 * of one address.
 */
const subjectThresholds = 10;

/**
 * Slows down, then locks out, those who show wrong credentials: by their address, by the id of the key that they claim to
 * have, and by the subject that their credentials prove to be theirs. A subject that is only claimed counts nowhere: as a
 * pair with the address it comes from it could never have failed more often than that address, and alone, anybody could
 * fail in its name.
 *
 * It never stands in the way of credentials that are right: guessing is hopeless anyway, what it saves is work and a full
 * log, and whoever shares an address or a key's id with an attacker must not pay for it.
 */
export class Lockout {
  /** Told when somebody is locked out anew. */
  onLocked: (() => void) | undefined;
  readonly #clock: Clock;
  readonly #sources: FailureCounts;
  readonly #keys: FailureCounts;
  readonly #subjects: FailureCounts;
  readonly #held = new Set<() => void>();
  #closed = false;

  constructor(options: { readonly settings: LockoutSettings; readonly clock: Clock }) {
    this.#clock = options.clock;
    this.#sources = new FailureCounts(options.settings);
    this.#keys = new FailureCounts(options.settings);
    const free = options.settings.threshold * (subjectThresholds - 1);
    this.#subjects = new FailureCounts({ ...options.settings, free });
  }

  /** Calls that are being held back. */
  get held(): number {
    return this.#held.size;
  }

  /** Whether a peer is locked out. */
  isLocked(peer: string): boolean {
    return this.#sources.size > 0 && this.#sources.lockedForMs(sourceOf(peer), this.#clock.monotonic()) > 0;
  }

  /**
   * Counts a failure, and says what follows: the hardest of what its address, its key and its subject bring on. A subject's
   * lock comes last: it may be somebody else's doing, who replays a token of it that is over.
   */
  failed(peer: string, { claimed, proven }: Blamed = {}): Judgement {
    const nowMs = this.#clock.monotonic();
    const source = sourceOf(peer);
    const bySource = this.#told({ ...this.#sources.fail(source, nowMs), by: "source", name: source });
    // An address that is locked out is not looked at, so it must not lock anything else either.
    if (bySource.kind === "locked" && !bySource.began) return { ...bySource, holdMs: 0 };
    let hardest = bySource;
    if (claimed !== undefined) {
      hardest = harder(hardest, this.#told({ ...this.#keys.fail(claimed, nowMs), by: "key", name: claimed }));
    }
    const holdMs = hardest.kind === "delayed" ? hardest.delayMs : 0;
    if (proven !== undefined) {
      const bySubject = this.#told({ ...this.#subjects.fail(proven, nowMs), by: "subject", name: proven });
      if (hardest.kind === "delayed") hardest = harder(hardest, bySubject);
    }
    return { ...hardest, holdMs };
  }

  /** Who is locked out now, for another process to go on with. */
  locked(): LockedNames {
    const nowMs = this.#clock.monotonic();
    return {
      sources: this.#sources.locked(nowMs),
      keys: this.#keys.locked(nowMs),
      subjects: this.#subjects.locked(nowMs),
    };
  }

  /** Goes on with what another process has left. */
  restore({ sources, keys, subjects }: LockedNames): void {
    const nowMs = this.#clock.monotonic();
    for (const each of sources) this.#sources.restore(each, nowMs);
    for (const each of keys) this.#keys.restore(each, nowMs);
    for (const each of subjects) this.#subjects.restore(each, nowMs);
  }

  #told(judgement: Counted): Counted {
    if (judgement.kind === "locked" && judgement.began) this.onLocked?.();
    return judgement;
  }

  /** Resolves when the answer may go, which is at once for those who leave, and when too many are held. */
  hold(delayMs: number, signal: AbortSignal): Promise<void> {
    if (this.#closed || this.#held.size >= mostHeld || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const release = (): void => {
        timer.cancel();
        signal.removeEventListener("abort", release);
        this.#held.delete(release);
        resolve();
      };
      const timer = this.#clock.setTimeout(release, Math.min(delayMs, longestHoldMs));
      signal.addEventListener("abort", release);
      this.#held.add(release);
    });
  }

  /** Lets all answers go. */
  close(): void {
    this.#closed = true;
    for (const release of [...this.#held]) release();
  }
}

function harder(one: Counted, other: Counted): Counted {
  return hardness(other) > hardness(one) ? other : one;
}

function hardness(consequence: Consequence): number {
  return consequence.kind === "locked" ? Number.MAX_VALUE / 2 + consequence.forMs : consequence.delayMs;
}
