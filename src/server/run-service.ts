import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  type Payload,
  type Run,
  type RunEvent,
  RunEventSchema,
  RunMode,
  RunState,
} from "../../gen/retake/v1/run_pb.js";
import {
  ListRunsRequestSchema,
  ListWorkflowsRequestSchema,
  type RunService,
  RunView,
  type WatchRunResponse,
  WatchRunResponseSchema,
  WorkflowSchema,
} from "../../gen/retake/v1/run_service_pb.js";
import { inputKey, type Workflow } from "../contract/index.ts";
import { suggestion } from "../nearest-name.ts";
import {
  createError,
  draining,
  isTerminal,
  journalUnavailable,
  type LiveRun,
  msFromDuration,
  msFromTimestamp,
  type RunFilter,
  unknownRun,
  viewRun,
  withValue,
} from "../runs/index.ts";
import { principalKey } from "../security/index.ts";
import { isAllowedUrl } from "../webhooks/index.ts";
import { callKey, forwardedMetadata, traceparentOf } from "./call-metadata.ts";
import type { Engine } from "./engine.ts";
import { createPageToken, parsePageToken } from "./page-token.ts";
import { inputFromAny, inputFromJson } from "./run-input.ts";

const defaultRunsPage = 50;
const defaultWorkflowsPage = 100;

/** `retake.v1.RunService` over an engine. Requests have passed their rules. */
export function createRunService(engine: Engine): ServiceImpl<typeof RunService> {
  return {
    async startRun(request, context) {
      const workflow = workflowNamed(engine, request.workflow);
      const message = inputOf(workflow, request.input, engine);
      engine.validator.validate(workflow.input, message);
      const { run, joined } = await engine.acceptance.accept({
        workflow,
        message,
        owner: ownerOf(context),
        key: callKey(request.idempotencyKey, inputKey(workflow, message), "idempotency_key of the request"),
        mode: RunMode.DETACHED,
        priority: request.priority,
        minQuality: request.minQuality,
        traceparent: traceparentOf(context.requestHeader),
        metadata: forwardedMetadata(workflow, context.requestHeader),
        ...(request.timeout === undefined ? {} : { timeoutMs: msFromDuration(request.timeout) }),
        ...(request.notifyUrl === "" ? {} : { notifyUrl: allowedUrl(request.notifyUrl, engine) }),
      });
      return released(engine, run, async () => {
        await run.accepted;
        if (run.refusal !== undefined) {
          throw run.refusal;
        }
        return { run: await durableView(engine, run), joined };
      });
    },

    async getRun({ runId, view }) {
      return withRun(engine, runId, async (run) => ({ run: await durableView(engine, run, view) }));
    },

    async listRuns(request) {
      const { pageSize, pageToken, workflow, states, owner, parentRunId, createdSince, createdBefore } = request;
      const scope = Buffer.from(
        toBinary(ListRunsRequestSchema, create(ListRunsRequestSchema, { ...request, pageSize: 0, pageToken: "" })),
      ).toString("base64");
      const filter: RunFilter = {
        ...(workflow === "" ? {} : { workflow }),
        ...(states.length === 0 ? {} : { states }),
        ...(owner === undefined ? {} : { owner: { tenant: owner.tenant || "default", subject: owner.subject } }),
        ...(parentRunId === "" ? {} : { parentRunId }),
        ...(createdSince === undefined ? {} : { createdSinceMs: msFromTimestamp(createdSince) }),
        ...(createdBefore === undefined ? {} : { createdBeforeMs: msFromTimestamp(createdBefore) }),
      };
      const limit = pageSize || defaultRunsPage;
      const rows = await engine.journal.listRuns(filter, {
        limit: limit + 1,
        ...(pageToken === "" ? {} : { beforePosition: numericCursor(parsePageToken(pageToken, scope)) }),
      });
      const page = rows.slice(0, limit);
      const runs: Run[] = [];
      for (const row of page) {
        // One after the other: a thousand runs read at once would keep everybody else waiting.
        const run = await engine.live.hold(row.runId);
        if (run !== undefined) {
          runs.push(await released(engine, run, () => durableView(engine, run)));
        }
      }
      const last = page.at(-1);
      return {
        runs,
        nextPageToken: rows.length > limit && last !== undefined ? createPageToken(last.position, scope) : "",
      };
    },

    async *watchRun({ runId, afterSequence, view }, context) {
      const signal = AbortSignal.any([context.signal, engine.closing.signal]);
      for await (const sight of engine.watch.run(runId, sequenceOf(afterSequence), signal)) {
        switch (sight.kind) {
          case "event":
            yield watched(await withPayloads(sight.event, runId, view, engine));
            break;
          case "progress":
            yield create(WatchRunResponseSchema, { update: { case: "progress", value: sight.progress } });
            break;
          case "update":
            break;
        }
      }
      if (engine.closing.signal.aborted && !context.signal.aborted) {
        throw draining();
      }
    },

    async cancelRun({ runId, reason }, context) {
      return withRun(engine, runId, async (run) => {
        await engine.turns.cancel(run, context.values.get(principalKey).subject, reason);
        return { run: await durableView(engine, run) };
      });
    },

    async rerunRun({ runId, idempotencyKey, discardSteps }, context) {
      return withRun(engine, runId, async (before) => {
        const { record } = before;
        if (!isTerminal(record.state)) {
          throw createError(
            Code.FailedPrecondition,
            "RUN_OPEN",
            `run ${runId} is ${RunState[record.state]}: only a run that has ended can be rerun; cancel it first, or wait`,
          );
        }
        await before.durable;
        const workflow = workflowNamed(engine, record.accepted.workflow);
        await engine.assertReadable(record);
        const message = await inputAgain(engine, before, workflow);
        const { run } = await engine.acceptance.accept({
          workflow,
          message,
          owner: ownerOf(context),
          key: idempotencyKey,
          mode: RunMode.DETACHED,
          priority: record.accepted.priority,
          minQuality: record.accepted.minQuality,
          traceparent: traceparentOf(context.requestHeader),
          metadata: record.accepted.metadata,
          rerunOf: runId,
          discardSteps,
          notifyUrl: record.accepted.notifyUrl,
        });
        return released(engine, run, async () => {
          await run.accepted;
          if (run.refusal !== undefined) {
            throw run.refusal;
          }
          return { run: await durableView(engine, run) };
        });
      });
    },

    async listWorkflows(request) {
      const scope = Buffer.from(toBinary(ListWorkflowsRequestSchema, create(ListWorkflowsRequestSchema, {}))).toString(
        "base64",
      );
      const limit = request.pageSize || defaultWorkflowsPage;
      const after = request.pageToken === "" ? "" : String(parsePageToken(request.pageToken, scope));
      const rest = [...engine.contracts.workflows.values()].filter(({ name }) => name > after);
      const page = rest.slice(0, limit);
      const last = page.at(-1);
      return {
        workflows: page.map((workflow) =>
          create(WorkflowSchema, {
            workflow: workflow.name,
            inputType: workflow.input.typeName,
            outputType: workflow.output.typeName,
            streaming: workflow.streaming,
            policy: workflow.declared,
            endpoints: engine.endpoints(workflow).map(({ endpoint }) => endpoint),
          }),
        ),
        nextPageToken: rest.length > limit && last !== undefined ? createPageToken(last.name, scope) : "",
      };
    },
  };
}

function workflowNamed(engine: Engine, name: string): Workflow {
  const workflow = engine.contracts.workflows.get(name);
  if (workflow === undefined) {
    throw createError(
      Code.NotFound,
      "UNKNOWN_WORKFLOW",
      `there is no workflow ${JSON.stringify(name)}${suggestion(name, engine.contracts.workflows.keys())}; ListWorkflows tells which there are`,
    );
  }
  return workflow;
}

function inputOf(workflow: Workflow, input: StartInput, engine: Engine): Message {
  switch (input.case) {
    case "message":
      return inputFromAny(workflow, input.value);
    case "json":
      return inputFromJson(workflow, input.value, engine.contracts.registry);
    case undefined:
      return create(workflow.input);
  }
}

/** @throws ConnectError PERMISSION_DENIED with the lines that would allow it */
function allowedUrl(url: string, { allowedUrls }: Engine): string {
  if (isAllowedUrl(url, allowedUrls)) {
    return url;
  }
  const origin = URL.parse(url)?.origin;
  if (origin === undefined) {
    throw createError(
      Code.InvalidArgument,
      "INVALID_NOTIFY_URL",
      `notify_url: ${JSON.stringify(url)} is no URL; one looks like https://hooks.example/retake`,
    );
  }
  throw createError(
    Code.PermissionDenied,
    "NOTIFY_URL_NOT_ALLOWED",
    `notify_url: this server does not post to ${origin} for its callers; its operator can allow it in the configuration, webhooks: { allowed_urls: ["${origin}/"] }`,
  );
}

type StartInput = Parameters<ServiceImpl<typeof RunService>["startRun"]>[0]["input"];

async function inputAgain(engine: Engine, run: LiveRun, workflow: Workflow): Promise<Message> {
  const { input } = run.record.accepted;
  const bytes = await engine.payloads.get(run.id, input?.sha256 ?? new Uint8Array());
  if (bytes === undefined) {
    throw createError(
      Code.FailedPrecondition,
      "PAYLOAD_LOST",
      `the input of run ${run.id} has been deleted, so it cannot be rerun: start a new run`,
    );
  }
  const message = fromBinary(workflow.input, bytes);
  engine.validator.validate(workflow.input, message);
  return message;
}

function ownerOf(context: HandlerContext) {
  const { tenant, subject } = context.values.get(principalKey);
  return { tenant, subject };
}

async function withRun<T>(engine: Engine, runId: string, use: (run: LiveRun) => Promise<T>): Promise<T> {
  const id = runId.toLowerCase();
  const run = await engine.live.hold(id);
  if (run === undefined) {
    throw unknownRun(id);
  }
  return released(engine, run, () => use(run));
}

async function released<T>(engine: Engine, run: LiveRun, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    engine.live.release(run);
  }
}

/** A run as it stands, told only when the journal says the same for good. */
async function durableView(engine: Engine, run: LiveRun, view = RunView.BASIC): Promise<Run> {
  const shown = viewRun(run.record, {
    nowMs: engine.clock.now(),
    gates: engine.gates,
    latestProgress: run.latestProgress,
  });
  try {
    await run.durable;
  } catch (error) {
    throw journalUnavailable(error);
  }
  if (view === RunView.FULL) {
    const input = await withValue(shown.input, run.id, engine.payloads);
    const result = await withValue(shown.result, run.id, engine.payloads);
    Object.assign(shown, { ...(input === undefined ? {} : { input }), ...(result === undefined ? {} : { result }) });
  }
  return shown;
}

function watched(event: RunEvent): WatchRunResponse {
  return create(WatchRunResponseSchema, { update: { case: "event", value: event } });
}

/** The event with its message, where the view wants it. Events are shared by their watchers: a copy carries it. */
async function withPayloads(event: RunEvent, runId: string, view: RunView, engine: Engine): Promise<RunEvent> {
  const body = event.event;
  const full = view === RunView.FULL;
  const filled = (payload: Payload | undefined) => withValue(payload, runId, engine.payloads);
  switch (body.case) {
    case "succeeded": {
      const result = await filled(body.value.result);
      return result === undefined
        ? event
        : create(RunEventSchema, { ...event, event: { case: "succeeded", value: { ...body.value, result } } });
    }
    case "accepted": {
      const input = full ? await filled(body.value.input) : undefined;
      return input === undefined
        ? event
        : create(RunEventSchema, { ...event, event: { case: "accepted", value: { ...body.value, input } } });
    }
    case "stepCompleted": {
      const result = full ? await filled(body.value.result) : undefined;
      return result === undefined
        ? event
        : create(RunEventSchema, { ...event, event: { case: "stepCompleted", value: { ...body.value, result } } });
    }
    case "updateRecorded": {
      const update = full ? await filled(body.value.update) : undefined;
      return update === undefined
        ? event
        : create(RunEventSchema, { ...event, event: { case: "updateRecorded", value: { ...body.value, update } } });
    }
    default:
      return event;
  }
}

function sequenceOf(sequence: bigint): number {
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw createError(Code.OutOfRange, "SEQUENCE_OUT_OF_RANGE", `no run has an event ${sequence}`);
  }
  return Number(sequence);
}

function numericCursor(cursor: string | number): number {
  if (typeof cursor !== "number") {
    throw createError(Code.InvalidArgument, "INVALID_PAGE_TOKEN", "page_token belongs to another method");
  }
  return cursor;
}
