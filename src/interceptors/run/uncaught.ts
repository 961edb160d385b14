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
}

/** Lets an error of a handler that nobody catches be known for its attempt's, and ends the attempt by it. */
export function uncaught({ scopes, endpoint }: UncaughtOptions): RunInterceptor {
  return (next) => (request) => {
    const { run, attempt, message, turn, workflow } = request;
    if (attempt?.endpoint !== endpoint) {
      return next(request);
    }
    const withheld = workflow.sensitive && message !== undefined ? sensitiveTexts(workflow.input, message) : [];
    const scope = new AttemptScope(run.accepted, attempt.number, attempt.token, withheld);
    return new Promise<Outcome>((resolve, reject) => {
      scope.fail = (failure) => {
        if (turn.abortReason !== undefined || turn.concluded) {
          // Whoever told it to stop decides what comes of it.
          return false;
        }
        scope.fail = undefined;
        turn.abort(errorFromFailure(failure));
        resolve({ kind: "failed", failure });
        return true;
      };
      scopes
        .enter(scope, () => next(request))
        .then(
          (outcome) => {
            scope.fail = undefined;
            resolve(outcome);
          },
          (error: unknown) => {
            scope.fail = undefined;
            reject(error);
          },
        );
    });
  };
}
