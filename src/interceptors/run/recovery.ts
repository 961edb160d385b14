import { create } from "@bufbuild/protobuf";
import { RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import { RecoveryActedSchema } from "../../../gen/retake/v1/run_pb.js";
import type { Clock } from "../../clock.ts";
import type { ResolvedRecoveryRule } from "../../contract/index.ts";
import {
  type FailedAttempt,
  type Logger,
  type Outcome,
  type Pauses,
  type RunHandler,
  type RunInterceptor,
  type RunRequest,
  untilAborted,
} from "../../runs/index.ts";
import { runFields } from "../../trace-fields.ts";
import { mustStop, stopped } from "./must-stop.ts";

export interface RecoveryOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pauses: Pick<Pauses, "of">;
  /** Carries out one rule. Undefined when nothing was done, else why it could not be, or nothing. Never rejects. */
  act(
    rule: ResolvedRecoveryRule,
    request: RunRequest,
    failed: FailedAttempt,
  ): Promise<{ readonly error: string } | undefined>;
}

/** Which endpoints are healthy may change while a run waits that avoids one of them, and nothing wakes it then. */
const lookAgainMs = 5_000;

/**
 * At the start of the turn that follows a failed attempt, does what the policy names for such a failure, each thing once:
 * what was done is an event, so a restart neither repeats nor forgets it. Whatever comes of it, the run goes on.
 */
export function recovery(options: RecoveryOptions): RunInterceptor {
  return (next) => (request) => {
    const { run, workflow } = request;
    return run.failedAttempt === undefined ||
      workflow.policy.recovery.length === 0 ||
      // Nobody's back-end is restarted while its workflow is held: it is done when that goes on.
      options.pauses.of(workflow.name) !== undefined
      ? next(request)
      : recover(request, run.failedAttempt, next, options);
  };
}

/** Those behind the last that was done: what was passed over before that, in its cool-down, is not done after a restart. */
function rulesLeft(
  rules: readonly ResolvedRecoveryRule[],
  { recoveries }: FailedAttempt,
): readonly ResolvedRecoveryRule[] {
  return rules.slice(rules.findLastIndex(({ action }) => recoveries.includes(action)) + 1);
}

async function recover(
  request: RunRequest,
  failed: FailedAttempt,
  next: RunHandler,
  options: RecoveryOptions,
): Promise<Outcome> {
  const { run, workflow, turn } = request;
  for (const rule of rulesLeft(workflow.policy.recovery, failed)) {
    if (!rule.categories.has(failed.failure.category)) {
      continue;
    }
    // It may take long, and nobody is to hear of a wake-up that the journal does not tell.
    turn.commit([]).catch(() => undefined);
    const acted = await untilAborted(options.act(rule, request, failed), turn.signal).catch(() => undefined);
    if (mustStop(request)) {
      return stopped("the run was stopped while its back-end recovered");
    }
    if (acted === undefined) {
      continue;
    }
    const { action } = rule;
    const { endpoint } = failed;
    const told = { ...runFields(run.accepted), action: RecoveryAction[action], endpoint };
    if (acted.error === "") {
      options.log.info(told, "a recovery action was done");
    } else {
      options.log.warn({ ...told, why: acted.error }, "a recovery action could not be done");
    }
    await turn.commit([
      { case: "recoveryActed", value: create(RecoveryActedSchema, { action, endpoint, error: acted.error }) },
    ]);
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
