import { Code } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import { createError, type Outcome, type RunInterceptor } from "../../runs/index.ts";

/** Ends a run when its deadline passes, whatever works for it then; its back-end is told to stop. */
export function deadline(options: { readonly clock: Clock }): RunInterceptor {
  const { clock } = options;
  return (next) => (request) =>
    new Promise<Outcome>((resolve, reject) => {
      const { turn, run } = request;
      const timer = clock.setTimeout(() => {
        turn.onOvertime?.();
        // A run that is being cancelled does not expire: it ends by its grace.
        if (turn.abortReason === undefined) {
          turn.abort(createError(Code.DeadlineExceeded, "DEADLINE", "the run's deadline has passed"));
          resolve({ kind: "expired" });
        }
      }, run.deadlineMs - clock.now());
      next(request).then(
        (outcome) => {
          timer.cancel();
          resolve(outcome);
        },
        (error: unknown) => {
          timer.cancel();
          reject(error);
        },
      );
    });
}
