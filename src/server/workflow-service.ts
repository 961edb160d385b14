import { create, type DescService, fromBinary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { type Progress, ProgressSchema, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import { inputKey, type Workflow, workflowName } from "../contract/index.ts";
import { type AcceptedRun, createError, endError, equalBytes, type LiveRun, untilAborted } from "../runs/index.ts";
import { artifactReader, createDenial, principalKey, sees } from "../security/index.ts";
import { flushHeadersKey, whenAborted } from "../transport/index.ts";
import { auditStart } from "./audit-start.ts";
import { callKey, forwardedMetadata, metadataKey, minQualityOf, priorityOf, traceparentOf } from "./call-metadata.ts";
import type { Engine } from "./engine.ts";
import { tellFallback } from "./fallback-metadata.ts";
import { assertOwnName } from "./visible-runs.ts";

/**
 * The implementation of a contract as its callers see it: each call starts a run or joins one, stays attached to it, and
 * answers what comes of it. Methods of the contract that are no workflows are left out. Other contracts need another
 * implementation: calls that have been read by these go on by them.
 */
export function createWorkflowService<Desc extends DescService>(
  service: Desc,
  workflows: ReadonlyMap<string, Workflow>,
  engine: Engine,
): Partial<ServiceImpl<Desc>> {
  const implementation: Record<string, unknown> = {};
  // A run may hand it on to a child, so any workflow will do.
  const takesMinQuality = workflows.values().some(({ degradable }) => degradable);
  for (const method of service.methods) {
    const workflow = workflows.get(workflowName(method));
    if (workflow === undefined) {
      continue;
    }
    implementation[method.localName] =
      method.methodKind === "unary"
        ? (message: Message, context: HandlerContext) => callUnary(engine, workflow, message, context, takesMinQuality)
        : (message: Message, context: HandlerContext) =>
            callStreaming(engine, workflow, message, context, takesMinQuality);
  }
  return implementation as Partial<ServiceImpl<Desc>>;
}

/** Written with as few promises as it takes: each costs every call a hundredth of its time. */
function callUnary(
  engine: Engine,
  workflow: Workflow,
  message: Message,
  context: HandlerContext,
  takesMinQuality: boolean,
): Promise<Message> {
  const accepted = accept(engine, workflow, message, context, takesMinQuality);
  return accepted instanceof Promise
    ? accepted.then((order) => awaitUnary(engine, workflow, order, context))
    : awaitUnary(engine, workflow, accepted, context);
}

function awaitUnary(
  engine: Engine,
  workflow: Workflow,
  accepted: AcceptedRun,
  context: HandlerContext,
): Promise<Message> {
  const { run } = accepted;
  attach(engine, accepted, context);
  return new Promise<Message>((resolve, reject) => {
    let left = false;
    const leave = (): void => {
      left = true;
      engine.turns.leave(run);
      engine.live.release(run);
    };
    const fail = (error: unknown): void => {
      if (!left) {
        leave();
        reject(withRunId(error, run));
      }
    };
    const answer = (result: Message): void => {
      if (!left) {
        // The run's id goes with the response: clients stop retrying once headers have arrived.
        context.responseHeader.set("retake-run-id", run.id);
        context.responseTrailer.set("retake-run-id", run.id);
        tellQuality(run, context);
        tellFallback(run, context.responseHeader, context.responseTrailer);
        leave();
        resolve(result);
      }
    };
    run.whenEnded(() => {
      if (left) {
        return;
      }
      // Looked at once, here: to look meanwhile would cost each call more than it takes to run.
      if (context.values.get(principalKey).isCurrent?.() === false) {
        fail(credentialsEnded());
        return;
      }
      const result = run.refusal === undefined ? messageOf(run, workflow) : undefined;
      if (result === undefined) {
        resultOf(engine, run, workflow).then(answer, fail);
      } else {
        answer(result);
      }
    });
    whenAborted(context, fail);
  });
}

/** Streams end when this happens; who waits for one answer does not get it. */
function credentialsEnded(): ConnectError {
  return createDenial(
    Code.Unauthenticated,
    "CREDENTIALS_ENDED",
    "the credentials of this call have been revoked, replaced, or have expired before its run had ended: call again with others, with the same idempotency key where there is one, or GetRun, to learn what came of the run",
  );
}

async function* callStreaming(
  engine: Engine,
  workflow: Workflow,
  message: Message,
  context: HandlerContext,
  takesMinQuality: boolean,
): AsyncGenerator<Message, void, undefined> {
  const accepted = await accept(engine, workflow, message, context, takesMinQuality);
  const { run } = accepted;
  attach(engine, accepted, context);
  const call = engine.openCalls.begin(context);
  try {
    await untilAborted(run.accepted, call.signal);
    throwRefusal(run);
    context.responseHeader.set("retake-run-id", run.id);
    context.values.get(flushHeadersKey)();
    if (context.protocolName !== "grpc" && !run.terminal) {
      // Over HTTP/1.1 headers leave with the first message only.
      yield* progressUpdate(workflow, create(ProgressSchema, { stage: "queued" }));
    }
    const watched = { runId: run.id, afterSequence: 0, workflow: workflow.name };
    for await (const sight of engine.watch.run(watched, call.signal)) {
      switch (sight.kind) {
        case "progress":
          if (sight.progress.progress !== undefined) {
            yield* progressUpdate(workflow, sight.progress.progress);
          }
          break;
        case "update":
          yield fromBinary(workflow.output, sight.message);
          break;
        case "event":
          if (sight.event.event.case === "updateRecorded") {
            const { update } = sight.event.event.value;
            const bytes = update === undefined ? undefined : await engine.payloads.get(run.id, update.sha256);
            if (bytes !== undefined) {
              yield fromBinary(workflow.output, bytes);
            }
          }
          break;
      }
    }
    if (!run.terminal) {
      call.signal.throwIfAborted();
    }
    await untilAborted(run.ended, context.signal);
    const result = await resultOf(engine, run, workflow);
    context.responseTrailer.set("retake-run-id", run.id);
    tellQuality(run, context);
    tellFallback(run, context.responseTrailer);
    yield result;
  } catch (error) {
    throw withRunId(error, run);
  } finally {
    engine.openCalls.end(call);
    engine.turns.leave(run);
    engine.live.release(run);
  }
}

function accept(
  engine: Engine,
  workflow: Workflow,
  message: Message,
  context: HandlerContext,
  takesMinQuality: boolean,
): AcceptedRun | Promise<AcceptedRun> {
  const { requestHeader } = context;
  const principal = context.values.get(principalKey);
  const { tenant, subject } = principal;
  const key = callKey(metadataKey(requestHeader), inputKey(workflow, message), "metadata idempotency-key");
  if (key !== "") assertOwnName(principal, key, "idempotency key");
  const priority = priorityOf(requestHeader);
  if (priority > 0) engine.access.assertPriority(principal, priority);
  const traceparent = traceparentOf(requestHeader);
  return engine.acceptance.accept({
    workflow,
    message,
    owner: { tenant, subject },
    key,
    mode: modeOf(requestHeader.get("retake-detach"), key),
    priority,
    minQuality: takesMinQuality ? minQualityOf(requestHeader) : Quality.UNSPECIFIED,
    traceparent,
    metadata: forwardedMetadata(workflow, requestHeader, traceparent),
    mayUse: workflow.inputArtifacts ? (owner) => sees(artifactReader(principal), owner) : undefined,
  });
}

function attach(engine: Engine, accepted: AcceptedRun, context: HandlerContext): void {
  const { run } = accepted;
  auditStart(engine.audit, accepted, context);
  if (run.record.accepted.mode === RunMode.ATTACHED) {
    run.callerTimeoutMs = context.timeoutMs;
  }
  engine.turns.join(run);
}

/** Known at the end only. Without it, the quality is FULL. */
function tellQuality({ record }: LiveRun, context: HandlerContext): void {
  if (record.quality !== Quality.UNSPECIFIED && record.quality !== Quality.FULL) {
    context.responseTrailer.set("retake-quality", Quality[record.quality] ?? "");
  }
}

function modeOf(detach: string | null, key: string): RunMode {
  if (detach !== null && detach !== "true" && detach !== "false") {
    throw createError(Code.InvalidArgument, "INVALID_METADATA", 'the metadata retake-detach is "true" or "false"');
  }
  if (detach === "true") {
    return RunMode.DETACHED;
  }
  return key === "" ? RunMode.ATTACHED : RunMode.ATTACHED_KEYED;
}

/** What came of a run that has ended. @throws ConnectError unless it SUCCEEDED */
async function resultOf(engine: Engine, run: LiveRun, workflow: Workflow): Promise<Message> {
  throwRefusal(run);
  const { record } = run;
  if (record.state !== RunState.SUCCEEDED) {
    throw endError(record);
  }
  const message = messageOf(run, workflow);
  if (message !== undefined) {
    return message;
  }
  await engine.assertReadable(record);
  const bytes = await engine.payloads.get(run.id, record.result?.sha256 ?? new Uint8Array());
  if (bytes === undefined) {
    throw createError(
      Code.DataLoss,
      "PAYLOAD_LOST",
      `the result of run ${run.id} has been deleted: call with a new key`,
    );
  }
  return fromBinary(workflow.output, bytes);
}

/** The result at hand. It was made by the contract that the run was accepted under, which may not be that of this call. */
function messageOf({ resultMessage, record }: LiveRun, workflow: Workflow): Message | undefined {
  return resultMessage !== undefined && equalBytes(record.accepted.contractSha256, workflow.contractSha256)
    ? resultMessage
    : undefined;
}

function throwRefusal(run: LiveRun): void {
  if (run.refusal !== undefined) {
    throw run.refusal;
  }
}

function withRunId(error: unknown, run: LiveRun): unknown {
  if (error instanceof ConnectError) {
    error.metadata.set("retake-run-id", run.id);
  }
  return error;
}

function* progressUpdate(workflow: Workflow, progress: Progress): Iterable<Message> {
  const message = workflow.updates.progressUpdate(progress);
  if (message !== undefined) {
    yield message;
  }
}
