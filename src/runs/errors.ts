import { Code, type ConnectError } from "@connectrpc/connect";
import { createError } from "./failure.ts";

/** How long callers are asked to wait when the server cannot take them right now. */
const retryDelayMs = 1000;

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

export function queueFull(workflow: string, limit: number): ConnectError {
  return createError(
    Code.ResourceExhausted,
    "QUEUE_FULL",
    `workflow ${workflow} has as many runs waiting as its policy allows (queue_limit ${limit}): call again later`,
    { retryDelayMs },
  );
}

export function keyTaken(key: string, workflow: string, runId: string): ConnectError {
  return createError(
    Code.AlreadyExists,
    "KEY_TAKEN",
    `the idempotency key ${JSON.stringify(key)} of workflow ${workflow} belongs to run ${runId}, which has another input: take a new key, or send the same input`,
    { metadata: { run_id: runId } },
  );
}
