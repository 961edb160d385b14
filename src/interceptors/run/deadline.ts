import { Code } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import { createError, type RunInterceptor } from "../../runs/index.ts";

/** Ends a run when its deadline passes, whatever works for it then; its back-end is told to stop. */
export function deadline(options: { readonly clock: Clock }): RunInterceptor {
  const { clock } = options;
  return (next) => (request) => {
    const { turn, run } = request;
    turn.expiry = clock.setTimeout(() => {
      // A run that is being cancelled does not expire: it ends by its grace.
      if (turn.abortReason === undefined) {
        turn.abort(createError(Code.DeadlineExceeded, "DEADLINE", "the run's deadline has passed"));
        turn.conclude({ kind: "expired" });
      }
      // Last, so that it is known why: that an attempt was given too little time says nothing of its back-end.
      turn.hold?.end();
    }, run.deadlineMs - clock.now());
    return next(request);
  };
}
