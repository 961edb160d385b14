import { type Failure, type FallbackTry, RunState } from "../../../gen/retake/v1/run_pb.js";
import type { Workflow } from "../../contract/index.ts";
import {
  crashLoop,
  type Delegation,
  type DelegationBlocked,
  type DelegationPlan,
  type EndpointSlots,
  failureOfAll,
  fallbackEnded,
  fallbackSkipped,
  fallbackStarted,
  fallbackTry,
  isCallersMistake,
  type Outcome,
  type RunEventBody,
  type RunHandler,
  type RunInterceptor,
  type RunRequest,
  untriedFallbacks,
} from "../../runs/index.ts";

export interface FallbackOptions {
  readonly delegation: Pick<Delegation, "plan" | "status">;
  /** Takes a run out of every line that it waits in. */
  withdraw(runId: string): void;
  /** Where the attempts of a workflow can be made. */
  endpoints(workflow: Workflow): readonly EndpointSlots[];
}

/**
 * Lets another workflow answer when this one has failed for good, or cannot even try: a child run, which the run waits
 * for DELEGATED, without a permit and without being in memory. The policy's fallbacks are turned to in order, each once.
 * A run that has given up fails with its own failure when none of them has helped; one that was only held back goes on.
 */
export function fallback(options: FallbackOptions): RunInterceptor {
  return (next) => (request) =>
    request.workflow.policy.fallbacks.length === 0 && request.run.fallback === undefined
      ? next(request)
      : perform(options, next, request);
}

async function perform(options: FallbackOptions, next: RunHandler, request: RunRequest): Promise<Outcome> {
  const { delegation } = options;
  const { run, workflow, turn } = request;
  const lost = run.interruptionsInRow >= workflow.policy.maxInterruptions ? crashLoop(workflow.policy) : undefined;
  const givenUp = run.givenUp ?? lost;
  if (run.fallback !== undefined) {
    const { index } = run.fallback;
    const status = await delegation.status(request, run.fallback);
    if (isOver(request)) {
      return nothingNew;
    }
    switch (status.kind) {
      case "working":
        return nothingNew;
      case "blocked":
        return status;
      case "answered":
        return { ...status, kind: "succeeded" };
      case "failed": {
        // It becomes durable together with what follows it: not before that can be told.
        const following = givenUp === undefined ? undefined : await planAfter(options, request, index);
        if (isOver(request)) {
          return nothingNew;
        }
        if (following?.kind === "blocked") {
          return following;
        }
        turn.prepare([fallbackEnded(index, status.failure)]);
      }
    }
  }
  if (givenUp !== undefined) {
    return replaced(options, request, { kind: "failed", failure: givenUp });
  }
  const outcome = await next(request);
  if (isOver(request)) {
    return outcome;
  }
  if (outcome.kind === "failed") {
    return isCallersMistake(outcome.failure) ? outcome : replaced(options, request, outcome);
  }
  const reason = outcome.kind === "blocked" ? obstacleOf(options, outcome, workflow) : undefined;
  return reason === undefined ? outcome : bypassed(options, request, outcome, reason);
}

/** Whether the one that is turned to behind a fallback can be asked; undefined where there is none. */
async function planAfter(
  { delegation }: FallbackOptions,
  request: RunRequest,
  index: number,
): Promise<DelegationPlan | undefined> {
  const following = untriedFallbacks(request.run, request.workflow.policy).find((untried) => untried.index !== index);
  return following && (await delegation.plan(request, following.workflow));
}

/** Of a run that makes no more attempts of its own. */
async function replaced(options: FallbackOptions, request: RunRequest, outcome: Failed): Promise<Outcome> {
  const { failure, attemptFailure = failure } = outcome;
  const turned = await turnToNext(options, request, `${failure.reason}: ${failure.message}`, failure);
  const events = [...(outcome.events ?? []), ...turned.events];
  // Behind an attempt of this turn the run's input is in memory still.
  if (turned.blocked !== undefined && request.run.attempt === undefined) {
    request.turn.prepare(events);
    return turned.blocked;
  }
  if (turned.started) {
    return { kind: "waiting", wakeAtMs: undefined, failure: attemptFailure, events };
  }
  const tries = [...request.run.fallbacks, ...turned.skipped];
  return { kind: "failed", failure: failureOfAll(failure, tries), attemptFailure, events };
}

/** Of a run that would only have to wait. */
async function bypassed(
  options: FallbackOptions,
  request: RunRequest,
  outcome: Outcome,
  reason: string,
): Promise<Outcome> {
  const turned = await turnToNext(options, request, reason);
  if (isOver(request)) {
    return outcome;
  }
  if (!turned.started) {
    request.turn.prepare(turned.events);
    return turned.blocked ?? outcome;
  }
  options.withdraw(request.run.accepted.runId);
  return { kind: "waiting", wakeAtMs: undefined, events: turned.events };
}

type Failed = Outcome & { readonly kind: "failed" };

interface Turned {
  readonly started: boolean;
  readonly events: readonly RunEventBody[];
  readonly skipped: readonly FallbackTry[];
  /** Whether the next one can be asked cannot be told right now. */
  readonly blocked?: DelegationBlocked;
}

/** The first one that can be asked; those before it are passed over. */
async function turnToNext(
  { delegation }: FallbackOptions,
  request: RunRequest,
  reason: string,
  failure?: Failure,
): Promise<Turned> {
  const { run, workflow: parent } = request;
  const events: RunEventBody[] = [];
  const skipped: FallbackTry[] = [];
  for (const { index, workflow } of untriedFallbacks(run, parent.policy)) {
    const plan = await delegation.plan(request, workflow);
    if (plan.kind === "ready") {
      const { childRunId, converter } = plan;
      const why = { reason, ...(failure === undefined ? {} : { failure }) };
      events.push(fallbackStarted({ index, workflow, childRunId, converter, ...why }));
      return { started: true, events, skipped };
    }
    if (plan.kind === "blocked") {
      return { started: false, events, skipped, blocked: plan };
    }
    events.push(fallbackSkipped(index, workflow, plan.reason));
    skipped.push(fallbackTry(index, workflow, "", "", { case: "skipped", value: plan.reason }));
  }
  return { started: false, events, skipped };
}

/** Why an attempt cannot even be tried, where waiting for it is not just a matter of others coming first. */
function obstacleOf(
  { endpoints }: FallbackOptions,
  { gate, reason }: Outcome & { readonly kind: "blocked" },
  workflow: Workflow,
): string | undefined {
  if (gate === "recovery") {
    // Something is being done about it.
    return undefined;
  }
  if (gate === "breaker") {
    return `BREAKER_OPEN: ${reason}`;
  }
  // Whatever else is full: with no endpoint to go to, its turn would not help.
  if (endpoints(workflow).every(({ unhealthy }) => unhealthy === true)) {
    return `NO_ENDPOINT: none of its endpoints is healthy`;
  }
  return undefined;
}

/** Whether the turn has been decided over the head of its chain. */
function isOver({ turn, run }: RunRequest): boolean {
  return turn.concluded || run.state === RunState.CANCELLING;
}

const nothingNew: Outcome = { kind: "waiting", wakeAtMs: undefined, events: [] };
