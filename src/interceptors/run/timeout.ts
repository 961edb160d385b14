import { Code } from "@connectrpc/connect";
import type { Clock, Timer } from "../../clock.ts";
import {
  type ActivityListener,
  createError,
  failureFromConnectError,
  type Outcome,
  type Pausable,
  type RunInterceptor,
} from "../../runs/index.ts";

/**
 * Ends an attempt that takes too long, or is silent too long, as UNAVAILABLE: DEADLINE_EXCEEDED means the run's deadline
 * only. Both clocks stand still while the attempt waits for a child.
 */
export function timeout(options: { readonly clock: Clock }): RunInterceptor {
  const { clock } = options;
  return (next) => (request) => {
    const { attemptTimeoutMs, progressTimeoutMs } = request.workflow.policy;
    if (attemptTimeoutMs === Number.POSITIVE_INFINITY && progressTimeoutMs === Number.POSITIVE_INFINITY) {
      return next(request);
    }
    const { turn } = request;
    return new Promise<Outcome>((resolve, reject) => {
      const stop = (reason: string, message: string): void => {
        cancel();
        turn.hold?.end();
        if (turn.abortReason !== undefined) {
          // It is told to stop already, and whoever told it decides how long to wait.
          return;
        }
        const error = createError(Code.Unavailable, reason, message);
        turn.abort(error);
        resolve({ kind: "failed", failure: failureFromConnectError(error) });
      };
      const attempt = new Countdown(clock, attemptTimeoutMs, () =>
        stop("ATTEMPT_TIMEOUT", `the attempt took longer than its ${attemptTimeoutMs} ms (attempt_timeout)`),
      );
      const silence = new Countdown(clock, progressTimeoutMs, () =>
        stop("STALLED", `the attempt was silent for ${progressTimeoutMs} ms (progress_timeout)`),
      );
      const cancel = (): void => {
        attempt.pause();
        silence.pause();
        turn.activity = undefined;
      };
      turn.activity = silence;
      turn.pausables.push(attempt, silence);
      attempt.resume();
      silence.resume();
      next(request).then(
        (outcome) => {
          cancel();
          resolve(outcome);
        },
        (error: unknown) => {
          cancel();
          reject(error);
        },
      );
    });
  };
}

/** A timer that can stand still. */
class Countdown implements Pausable, ActivityListener {
  readonly #clock: Clock;
  readonly #totalMs: number;
  readonly #onOver: () => void;
  #leftMs: number;
  #sinceMs = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, totalMs: number, onOver: () => void) {
    this.#clock = clock;
    this.#totalMs = totalMs;
    this.#leftMs = totalMs;
    this.#onOver = onOver;
  }

  pause(): void {
    if (this.#timer !== undefined) {
      this.#timer.cancel();
      this.#timer = undefined;
      this.#leftMs -= this.#clock.monotonic() - this.#sinceMs;
    }
  }

  resume(): void {
    if (this.#timer === undefined && this.#totalMs !== Number.POSITIVE_INFINITY) {
      this.#sinceMs = this.#clock.monotonic();
      this.#timer = this.#clock.setTimeout(this.#onOver, this.#leftMs);
    }
  }

  /** Starts over. */
  moved(): void {
    if (this.#timer !== undefined) {
      this.#timer.cancel();
      this.#timer = undefined;
      this.#leftMs = this.#totalMs;
      this.resume();
    } else {
      this.#leftMs = this.#totalMs;
    }
  }
}
