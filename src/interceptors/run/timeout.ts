import { Code } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import {
  createError,
  failureFromConnectError,
  type Outcome,
  type RunInterceptor,
  type RunRequest,
} from "../../runs/index.ts";
import { Countdown } from "./countdown.ts";
import { type Probe, Silence } from "./silence.ts";

export interface TimeoutOptions {
  readonly clock: Clock;
  /** How the job of an attempt is asked whether it lives; undefined where nobody can be asked. */
  probe?(request: RunRequest): Probe | undefined;
}

/**
 * Ends an attempt that takes too long, or is silent too long without a sign of life, as UNAVAILABLE: DEADLINE_EXCEEDED
 * means the run's deadline only. Both clocks stand still while the attempt waits for a child.
 */
export function timeout(options: TimeoutOptions): RunInterceptor {
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
      const silence = new Silence({
        clock,
        totalMs: progressTimeoutMs,
        probe: progressTimeoutMs === Number.POSITIVE_INFINITY ? undefined : options.probe?.(request),
        onDead: (why) =>
          stop(
            "STALLED",
            `the attempt was silent for ${progressTimeoutMs} ms (progress_timeout)${why === "" ? "" : `: ${why}`}`,
          ),
      });
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
