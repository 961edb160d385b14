import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { RandomSource } from "../clock.ts";
import { shareDetail } from "../shared-detail.ts";
import { createError, type ErrorOptions, errorInfo, pushBack, retryInfo } from "./failure.ts";
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
  let full = fullQueues.get(workflow);
  if (full?.limit !== limit) {
    full = fullQueue(workflow, limit);
    fullQueues.set(workflow, full);
  }
  const delayMs = scattered(retryDelayMs, random);
  const error = withoutStack(() => new ConnectError(full.message, Code.ResourceExhausted));
  error.details.push(full.info, retryDetail(delayMs), full.quota);
  pushBack(error, delayMs);
  return error;
}

/** What all refusals of a full queue have in common. */
interface FullQueue {
  readonly limit: number;
  readonly message: string;
  readonly info: ConnectError["details"][number];
  readonly quota: ConnectError["details"][number];
}

/** By workflow, with the limit that it had last. */
const fullQueues = new Map<string, FullQueue>();

function fullQueue(workflow: string, limit: number): FullQueue {
  const description = `as many runs wait as its policy allows (queue_limit ${limit})`;
  return {
    limit,
    message: `workflow ${workflow} is full: ${description}${callAgain}`,
    info: shareDetail(ErrorInfoSchema, errorInfo("QUEUE_FULL", { workflow })),
    quota: shareDetail(QuotaFailureSchema, { violations: [{ subject: workflow, description }] }),
  };
}

/** By the delay, of which there are no more than a thousand: whole milliseconds. */
const retryDetails = new Map<number, ConnectError["details"][number]>();

function retryDetail(delayMs: number): ConnectError["details"][number] {
  let detail = retryDetails.get(delayMs);
  if (detail === undefined) {
    detail = shareDetail(RetryInfoSchema, retryInfo(delayMs));
    retryDetails.set(delayMs, detail);
  }
  return detail;
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

function refusal(code: Code, reason: string, message: string, options?: ErrorOptions): ConnectError {
  return withoutStack(() => createError(code, reason, message, options));
}

/** Those that are refused are many, when there is least time for them: a stack that nobody reads took a sixth of it. */
function withoutStack(make: () => ConnectError): ConnectError {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
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
