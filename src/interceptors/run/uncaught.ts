import { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { Clock } from "../../clock.ts";
import { sensitiveTexts } from "../../contract/index.ts";
import {
  AttemptScope,
  type AttemptScopes,
  errorFromFailure,
  type Outcome,
  type RunInterceptor,
} from "../../runs/index.ts";

export interface UncaughtOptions {
  readonly scopes: AttemptScopes;
  /** The endpoint whose attempts are made by handlers in this process. */
  readonly endpoint: string;
  readonly clock: Clock;
}

/**
 * Lets an error of a handler that nobody catches be known for its attempt's, and fails the attempt by it: when the handler
 * has stopped, so that it does not work beside the next one, and without it when the policy's `cancel_grace` is over, or the
 * time of the attempt or its run.
 */
export function uncaught({ scopes, endpoint, clock }: UncaughtOptions): RunInterceptor {
  return (next) => (request) => {
    const { run, attempt, message, turn, workflow } = request;
    if (attempt?.endpoint !== endpoint) {
      return next(request);
    }
    const withheld = workflow.sensitive && message !== undefined ? sensitiveTexts(workflow.input, message) : [];
    const scope = new AttemptScope(run.accepted, attempt.number, attempt.token, withheld, turn);
    return new Promise<Outcome>((resolve, reject) => {
      // Set once the attempt has failed by what its handler has left.
      let end: (() => void) | undefined;
      scope.fail = (failure) => {
        if (turn.abortReason !== undefined || turn.concluded) {
          // Whoever told it to stop decides what comes of it.
          return false;
        }
        turn.abort(errorFromFailure(failure));
        const grace = clock.setTimeout(() => giveUp(), workflow.policy.cancelGraceMs);
        turn.graces ??= [];
        turn.graces.push(grace);
        end = () => {
          grace.cancel();
          scope.end();
          resolve({ kind: "failed", failure });
        };
        const giveUp = (): void => {
          // Whoever cancels its run waits by a grace of its own, and tells whether the handler has stopped.
          if (run.state !== RunState.CANCELLING) end?.();
        };
        const { hold } = turn;
        turn.hold = {
          end: () => {
            giveUp();
            // Behind its outcome: others learn first what the attempt says of its back-end.
            clock.setImmediate(() => hold?.end());
          },
        };
        return true;
      };
      scopes
        .enter(scope, () => next(request))
        .then(
          (outcome) => {
            scope.end();
            if (end === undefined) resolve(outcome);
            else end();
          },
          (error: unknown) => {
            scope.end();
            if (end === undefined) reject(error);
            else end();
          },
        );
    });
  };
}
