import type { ConnectError } from "@connectrpc/connect";
import type { Clock, Timer } from "../clock.ts";
import type { ActivityListener, Hold, Outcome, Pausable, RunHandler, RunRequest, Turn } from "./handler.ts";
import type { LiveRun } from "./live-run.ts";
import type { RunEventBody } from "./run-record.ts";

export type LoadInput = (run: LiveRun) => Promise<Uint8Array>;

/** A turn that is being taken: concluded once, by its chain of stages or over its head. */
export class ActiveTurn implements Turn {
  readonly pausables: Pausable[] = [];
  hold: Hold | undefined;
  expiry: Timer | undefined;
  activity: ActivityListener | undefined;
  onPoke: (() => void) | undefined;
  /** Cancelled when the turn has been settled: those of the graces that it is given. */
  graces: Timer[] | undefined;
  concluded = false;
  abortReason: ConnectError | undefined;

  readonly #run: LiveRun;
  readonly #clock: Clock;
  readonly #loadInput: LoadInput;
  #conclude: ((outcome: Outcome) => void) | undefined;
  #outcome: Outcome | undefined;
  #controller: AbortController | undefined;
  /** When the attempt's clock went on, by the monotonic clock; undefined while it stands. */
  #runningSinceMs: number | undefined;
  #elapsedMs = 0;
  #pauses = 0;
  /** Counts pauses and returns from them, so that a return knows when another pause has begun. */
  #round = 0;

  constructor(run: LiveRun, clock: Clock, loadInput: LoadInput) {
    this.#run = run;
    this.#clock = clock;
    this.#loadInput = loadInput;
  }

  /** Made on demand: most attempts never look at it, and it costs more than the rest of the turn. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.abortReason !== undefined) {
        this.#controller.abort(this.abortReason);
      }
    }
    return this.#controller.signal;
  }

  abort(reason: ConnectError): void {
    if (this.abortReason === undefined) {
      this.abortReason = reason;
      this.#controller?.abort(reason);
      this.onPoke?.();
    }
  }

  prepare(events: readonly RunEventBody[]): void {
    this.#run.prepare(events);
  }

  commit(events: readonly RunEventBody[]): Promise<void> {
    this.#run.commit(events);
    return this.#run.durable;
  }

  input(): Uint8Array | Promise<Uint8Array> {
    return this.#run.input ?? this.#loadInput(this.#run);
  }

  /** The attempt of this turn has been made before it. */
  workedBefore(elapsedMs: number): void {
    this.#elapsedMs = elapsedMs;
  }

  startAttemptClock(): void {
    this.#runningSinceMs = this.#clock.monotonic();
  }

  /** How long the attempt has worked, what it waited for children left out. */
  get attemptMs(): number {
    return this.#elapsedMs + (this.#runningSinceMs === undefined ? 0 : this.#clock.monotonic() - this.#runningSinceMs);
  }

  /** Lets everything go while `work` is being waited for. Waits of several children at once are one pause. */
  async paused<T>(work: () => Promise<T>): Promise<T> {
    if (this.#pauses++ === 0) {
      this.#round++;
      this.#elapsedMs = this.attemptMs;
      this.#runningSinceMs = undefined;
      for (const pausable of this.pausables.toReversed()) {
        pausable.pause();
      }
    }
    try {
      return await work();
    } finally {
      if (--this.#pauses === 0) {
        await this.#resume(++this.#round);
      }
    }
  }

  /** Takes everything up again, unless the attempt is paused anew, or over, meanwhile. */
  async #resume(round: number): Promise<void> {
    const goesOn = (): boolean => round === this.#round && !this.concluded && this.abortReason === undefined;
    // The permit comes first: time stands still while the attempt waits for it.
    for (const pausable of this.pausables) {
      if (!goesOn()) {
        return;
      }
      await pausable.resume();
    }
    if (goesOn()) {
      this.startAttemptClock();
    }
  }

  /** Enters the chain and waits for the first outcome: the chain's, or one that comes, or has come, over its head. */
  outcome(chain: RunHandler, request: RunRequest): Promise<Outcome> {
    if (this.#outcome !== undefined) {
      return Promise.resolve(this.#outcome);
    }
    return new Promise((resolve, reject) => {
      this.#conclude = resolve;
      chain(request).then(
        (outcome) => {
          this.expiry?.cancel();
          this.conclude(outcome);
        },
        (error: unknown) => {
          this.expiry?.cancel();
          reject(error);
        },
      );
    });
  }

  /** Ends the turn; the first outcome counts. */
  conclude(outcome: Outcome): void {
    if (!this.concluded) {
      this.concluded = true;
      this.#outcome = outcome;
      this.#conclude?.(outcome);
    }
  }
}
