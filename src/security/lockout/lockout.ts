import type { Clock } from "../../clock.ts";
import { sourceOf } from "../source.ts";
import { type Consequence, FailureCounts, type LockedName, type LockoutSettings } from "./failure-counts.ts";

/** Longer, callers give up and ask again, which holds two calls in place of one. */
const longestHoldMs = 5_000;

/** A held call costs a stream and a timer: beyond this, answers go at once, and the count still grows. */
const mostHeld = 1_000;

/** What becomes of a call whose credentials are wrong. */
export type Judgement = Consequence & {
  /** What was counted; for a lock, what is locked. */
  readonly by: "source" | "key";
  readonly name: string;
};

export interface LockedNames {
  readonly sources: readonly LockedName[];
  readonly keys: readonly LockedName[];
}

/**
 * Slows down, then locks out, those who show wrong credentials, by their address and by the key that they claim to have.
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
  readonly #held = new Set<() => void>();
  #closed = false;

  constructor(options: { readonly settings: LockoutSettings; readonly clock: Clock }) {
    this.#clock = options.clock;
    this.#sources = new FailureCounts(options.settings);
    this.#keys = new FailureCounts(options.settings);
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
   * Counts a failure, and says what follows: the harder of what its address and its key bring on.
   *
   * @param claimed the id of the key that was claimed, whether it exists or not
   */
  failed(peer: string, claimed: string | undefined): Judgement {
    const nowMs = this.#clock.monotonic();
    const source = sourceOf(peer);
    const bySource: Judgement = { ...this.#sources.fail(source, nowMs), by: "source", name: source };
    // An address that is locked out is not looked at, so it must not lock keys either.
    if (claimed === undefined || (bySource.kind === "locked" && !bySource.began)) return this.#told(bySource);
    const byKey: Judgement = { ...this.#keys.fail(claimed, nowMs), by: "key", name: claimed };
    this.#told(bySource);
    this.#told(byKey);
    return hardness(byKey) > hardness(bySource) ? byKey : bySource;
  }

  /** Who is locked out now, for another process to go on with. */
  locked(): LockedNames {
    const nowMs = this.#clock.monotonic();
    return { sources: this.#sources.locked(nowMs), keys: this.#keys.locked(nowMs) };
  }

  /** Goes on with what another process has left. */
  restore({ sources, keys }: LockedNames): void {
    const nowMs = this.#clock.monotonic();
    for (const each of sources) this.#sources.restore(each, nowMs);
    for (const each of keys) this.#keys.restore(each, nowMs);
  }

  #told(judgement: Judgement): Judgement {
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

function hardness(consequence: Consequence): number {
  return consequence.kind === "locked" ? Number.MAX_VALUE / 2 + consequence.forMs : consequence.delayMs;
}
