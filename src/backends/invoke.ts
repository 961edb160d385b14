import { create, isMessage, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock, RandomSource } from "../clock.ts";
import { inProcessTarget } from "../config/index.ts";
import { sensitiveTexts, type Workflow } from "../contract/index.ts";
import {
  AttemptWork,
  type AttemptWorkServices,
  classifyError,
  createError,
  createWorkflowContext,
  type Disturb,
  type LiveRuns,
  type Logger,
  type RunHandler,
} from "../runs/index.ts";
import { runFields } from "../trace-fields.ts";
import type { Backend } from "./backend.ts";
import { withheldError, withholdFrom } from "./withheld.ts";

export interface InvokeOptions {
  readonly live: LiveRuns;
  readonly work: AttemptWorkServices;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  backend(workflow: Workflow, endpoint: string): Backend;
}

/**
 * The innermost of the stages: calls the back-end. Only it knows the method's kind; it drains a streaming back-end and
 * turns its updates into progress and events.
 */
export function invoke(options: InvokeOptions): RunHandler {
  const { live, clock, random, log } = options;
  return async (request) => {
    const { run, workflow, attempt, message } = request;
    const runId = run.accepted.runId;
    const liveRun = live.get(runId);
    const turn = liveRun?.turn;
    if (liveRun === undefined || turn === undefined || attempt === undefined || message === undefined) {
      throw new Error(`run ${runId} is not being advanced: a stage has called its back-end outside of a turn`);
    }
    const work = new AttemptWork(liveRun, turn, workflow, attempt, options.work);
    if (workflow.sensitive) work.withheld = sensitiveTexts(workflow.input, message);
    liveRun.latestProgress = undefined;
    liveRun.latestUpdate = undefined;
    try {
      const context = createWorkflowContext(work);
      const called = options.backend(workflow, attempt.endpoint).call({ workflow, message, attempt, context });
      const answer = request.disturb === undefined ? called : disturbed(called, request.disturb);
      const result = workflow.streaming ? await drain(answer, workflow, work, clock) : asResult(await answer, workflow);
      const stored = work.result(result);
      return { kind: "succeeded", result: stored instanceof Promise ? await stored : stored, message: result };
    } catch (error) {
      const { failure, unexpected } = classifyError(error, random, clock.now());
      if (work.withheld.length > 0) withholdFrom(failure, work.withheld);
      if (unexpected && !turn.concluded) {
        // A handler that says what it has to say, and why for the log alone, is no fault of anybody's.
        const level = error instanceof ConnectError ? "info" : "error";
        log[level](
          {
            ...(level === "error" && { event: eventOf(attempt.endpoint) }),
            err: withheldError(error, work.withheld),
            ...runFields(run.accepted, attempt.number),
            workflow: workflow.name,
            attempt: attempt.number,
            referenceId: failure.referenceId,
          },
          "an attempt failed, and its callers are told less than this",
        );
      }
      return { kind: "failed", failure };
    }
  };
}

/** What an exception is, as the semantic conventions of OpenTelemetry have it. */
function eventOf(endpoint: string): string {
  return endpoint === inProcessTarget ? "rpc.server.call.exception" : "rpc.client.call.exception";
}

function disturbed(answer: unknown, disturb: Disturb): unknown {
  return isAsyncIterable(answer) ? disturb.stream(answer) : disturb.unary(answer);
}

/** Messages taken from a back-end that has them all at hand before everybody else gets a turn. */
const messagesPerTick = 64;

async function drain(answer: unknown, workflow: Workflow, work: AttemptWork, clock: Clock): Promise<Message> {
  if (!isAsyncIterable(answer)) {
    throw createError(
      Code.Internal,
      "INVALID_RESULT",
      `the handler of ${workflow.name} returned no async iterable: a streaming workflow is an async generator that yields updates, then its result`,
    );
  }
  let result: Message | undefined;
  let count = 0;
  for await (const item of answer) {
    const message = asResult(item, workflow);
    if (result !== undefined) {
      throw createError(
        Code.Internal,
        "INVALID_RESULT",
        `the handler of ${workflow.name} yielded something after its result: the result comes last`,
      );
    }
    const part = workflow.updates.classifyUpdate(message);
    switch (part.kind) {
      case "progress":
        work.progress(part.progress);
        break;
      case "update":
        if (part.progress !== undefined) {
          work.progress(part.progress);
        }
        await work.update(message, part.keep);
        break;
      case "result":
        result = message;
        break;
    }
    if (++count % messagesPerTick === 0) {
      await new Promise<void>((resolve) => clock.setImmediate(resolve));
    }
    // What comes once the attempt must stop is dropped, so the generator can stop here.
    if (work.turn.concluded || work.turn.abortReason !== undefined) {
      break;
    }
  }
  if (result === undefined) {
    throw createError(
      Code.Internal,
      "NO_RESULT",
      `the back-end of ${workflow.name} ended without a result: yield one message without updates, last`,
    );
  }
  return result;
}

function asResult(value: unknown, { name, output }: Workflow): Message {
  if (isMessage(value, output)) {
    return value;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value) || isMessage(value)) {
    const what = isMessage(value) ? `a ${value.$typeName}` : value === undefined ? "nothing" : `a ${typeof value}`;
    throw createError(
      Code.Internal,
      "INVALID_RESULT",
      `the handler of ${name} answered ${what} where its contract says ${output.typeName}`,
    );
  }
  return create(output, value as Record<string, unknown>);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
