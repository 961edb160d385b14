import { Code, type ConnectError } from "@connectrpc/connect";
import { QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { RandomSource } from "../clock.ts";
import { createError, type ErrorOptions } from "./failure.ts";
import type { OverloadState } from "./load/overload.ts";
import type { RunOwner } from "./ports/journal.ts";

/** How long callers are asked to wait when the server cannot take them right now. */
const retryDelayMs = 1000;

const callAgain = "; call again later";

/** The journal does not take new runs at the moment. */
export function journalUnavailable(cause?: unknown): ConnectError {
  return createError(
    Code.Unavailable,
    "JOURNAL",
    "the server cannot store runs at the moment (its log says why); nothing was lost: call again",
    { retryDelayMs, cause },
  );
}

/** The server is about to stop. */
export function draining(): ConnectError {
  return createError(
    Code.Unavailable,
    "DRAINING",
    "the server is about to stop: call again, its successor will answer",
    {
      retryDelayMs,
    },
  );
}

export function unknownRun(runId: string): ConnectError {
  return createError(
    Code.NotFound,
    "RUN_NOT_FOUND",
    `there is no run ${runId}: it never was, or retention has removed it`,
  );
}

/** As many wait as may. RESOURCE_EXHAUSTED: it is a quota, and this workflow's alone. */
export function queueFull(workflow: string, limit: number, random: RandomSource): ConnectError {
  const description = `as many runs wait as its policy allows (queue_limit ${limit})`;
  const error = refusal(
    Code.ResourceExhausted,
    "QUEUE_FULL",
    `workflow ${workflow} is full: ${description}${callAgain}`,
    {
      retryDelayMs: scattered(retryDelayMs, random),
      metadata: { workflow },
    },
  );
  error.details.push({ desc: QuotaFailureSchema, value: { violations: [{ subject: workflow, description }] } });
  return error;
}

/** An owner has left as much to the server as one may. */
export function inputQuota({ tenant, subject }: RunOwner, description: string): ConnectError {
  const what = `${description}; wait until some have ended, or cancel those that you do not need`;
  const error = refusal(Code.ResourceExhausted, "INPUT_QUOTA", what);
  const violations = [{ subject: `principal:${tenant}/${subject}`, description }];
  error.details.push({ desc: QuotaFailureSchema, value: { violations } });
  return error;
}

/** The server is in trouble. UNAVAILABLE: no quota of the caller's is used up, and another replica may be well. */
export function overloaded(
  { signal, reason }: Pick<OverloadState, "signal" | "reason">,
  random: RandomSource,
): ConnectError {
  return refusal(
    Code.Unavailable,
    "OVERLOADED",
    `the server has more to do than it can, and takes no new runs of this priority at the moment: ${reason}${callAgain}`,
    { retryDelayMs: scattered(retryDelayMs, random), metadata: { signal } },
  );
}

/** Those that are refused are many, when there is least time for them: a stack that nobody reads took a sixth of it. */
function refusal(code: Code, reason: string, message: string, options?: ErrorOptions): ConnectError {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return createError(code, reason, message, options);
  } finally {
    Error.stackTraceLimit = before;
  }
}

/** Half as long to half as long again: those who are refused together do not come back together. */
function scattered(delayMs: number, random: RandomSource): number {
  return Math.round(delayMs * (0.5 + random.next()));
}

export function keyTaken(key: string, workflow: string, runId: string): ConnectError {
  return createError(
    Code.AlreadyExists,
    "KEY_TAKEN",
    `the idempotency key ${JSON.stringify(key)} of workflow ${workflow} belongs to run ${runId}, which has another input: take a new key, or send the same input`,
    { metadata: { run_id: runId } },
  );
}
