import { create } from "@bufbuild/protobuf";
import { RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import { RecoveryActedSchema } from "../../../gen/retake/v1/run_pb.js";
import type { Clock } from "../../clock.ts";
import type { ResolvedRecoveryRule } from "../../contract/index.ts";
import type {
  FailedAttempt,
  Logger,
  Outcome,
  Pauses,
  RecoveryStep,
  RunHandler,
  RunInterceptor,
  RunRequest,
} from "../../runs/index.ts";
import { runFields } from "../../trace-fields.ts";
import { mustStop, stopped } from "./must-stop.ts";

export interface RecoveryOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pauses: Pick<Pauses, "of">;
  /**
   * Carries out the first of these rules that there is something to be done by. Undefined when nothing is left. A run that
   * is blocked by it is woken, asks again with the same rules, and is told what has come of it.
   */
  next(rules: readonly ResolvedRecoveryRule[], request: RunRequest, failed: FailedAttempt): RecoveryStep | undefined;
}

/** Which endpoints are healthy may change while a run waits that avoids one of them, and nothing wakes it then. */
const lookAgainMs = 5_000;

/**
 * At the start of the turn that follows a failed attempt, has done what the policy names for such a failure, each thing
 * once: what was done is an event, so a restart neither repeats nor forgets it. The run waits for it as it does for a
 * permit. Whatever comes of it, the run goes on.
 */
export function recovery(options: RecoveryOptions): RunInterceptor {
  return (next) => (request) => {
    const { run, workflow } = request;
    return run.failedAttempt === undefined ||
      // Nobody's back-end is restarted while its workflow is held: it is done when that goes on.
      options.pauses.of(workflow.name) !== undefined
      ? next(request)
      : recover(request, run.failedAttempt, next, options);
  };
}

/** Those behind the last that was done: what was passed over before that, in its cool-down, is not done after a restart. */
function rulesLeft(
  rules: readonly ResolvedRecoveryRule[],
  { failure, recoveries }: FailedAttempt,
): readonly ResolvedRecoveryRule[] {
  return rules
    .slice(rules.findLastIndex(({ action }) => recoveries.includes(action)) + 1)
    .filter(({ categories }) => categories.has(failure.category));
}

async function recover(
  request: RunRequest,
  failed: FailedAttempt,
  next: RunHandler,
  options: RecoveryOptions,
): Promise<Outcome> {
  const { run, workflow, turn } = request;
  for (;;) {
    const step = options.next(rulesLeft(workflow.policy.recovery, failed), request, failed);
    if (step === undefined) {
      break;
    }
    if (step.kind === "blocked") {
      return step;
    }
    const { action, error } = step;
    const { endpoint } = failed;
    const told = { ...runFields(run.accepted), action: RecoveryAction[action], endpoint };
    if (error === "") {
      options.log.info(told, "a recovery action was done");
    } else {
      options.log.warn({ ...told, why: error }, "a recovery action could not be done");
    }
    await turn.commit([{ case: "recoveryActed", value: create(RecoveryActedSchema, { action, endpoint, error }) }]);
    if (mustStop(request)) {
      return stopped("the run was stopped while its back-end recovered");
    }
  }
  const avoided = run.avoidedEndpoint;
  if (avoided === undefined) {
    return next(request);
  }
  const outcome = await next({ ...request, avoidedEndpoint: avoided });
  return outcome.kind === "blocked" && outcome.notBeforeMs === undefined
    ? { ...outcome, notBeforeMs: options.clock.now() + lookAgainMs }
    : outcome;
}
