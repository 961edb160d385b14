import { create, type Message } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import {
  type Accepted,
  type Payload,
  type Run,
  type RunEvent,
  RunEventSchema,
  RunMode,
} from "../../gen/retake/v1/run_pb.js";
import {
  ListRunsRequestSchema,
  ListWorkflowsRequestSchema,
  type RunService,
  RunView,
  type WatchRunResponse,
  WatchRunResponseSchema,
  type WorkflowPause,
  WorkflowPauseSchema,
  WorkflowSchema,
} from "../../gen/retake/v1/run_service_pb.js";
import type { ResolvedInput } from "../config/index.ts";
import { inputKey, type Workflow } from "../contract/index.ts";
import {
  createError,
  msFromDuration,
  msFromTimestamp,
  type RunFilter,
  timestampFromMs,
  withValue,
} from "../runs/index.ts";
import { artifactReader, createDenial, goesOnWhileKey, principalKey, sees } from "../security/index.ts";
import { peerKey } from "../transport/index.ts";
import { isAllowedUrl } from "../webhooks/index.ts";
import { auditStart } from "./audit-start.ts";
import { cancelRuns, rerunRuns } from "./bulk-runs.ts";
import { callKey, forwardedMetadata, traceparentOf } from "./call-metadata.ts";
import type { Engine } from "./engine.ts";
import { ifStored } from "./if-stored.ts";
import { assertForWorkflow } from "./limited-credentials.ts";
import { ownerOf } from "./owner-of.ts";
import { createPageToken, pageScope, parsePageToken, parsePosition } from "./page-token.ts";
import { type RerunOrder, rerun } from "./rerun.ts";
import { inputFromAny, inputFromJson } from "./run-input.ts";
import { seenBy } from "./seen-event.ts";
import { durableView, released } from "./shown-run.ts";
import {
  accessLost,
  assertOwnName,
  listVisibleRuns,
  seesRun,
  stillSees,
  visibleRunByKey,
  withVisibleRun,
} from "./visible-runs.ts";
import { workflowNamed } from "./workflow-named.ts";

const defaultRunsPage = 50;
const defaultWorkflowsPage = 100;

/** `retake.v1.RunService` over an engine. Requests have passed their rules. */
export function createRunService(engine: Engine, reading: ResolvedInput): ServiceImpl<typeof RunService> {
  return {
    async startRun(request, context) {
      const principal = context.values.get(principalKey);
      const workflow = workflowNamed(engine, request.workflow, principal);
      const requirement = engine.access.requirement(workflow.method);
      // Before anything is decoded: what is wrong with an input says what the contract is.
      engine.access.assertLevel(principal, requirement);
      const message = inputOf(workflow, request.input, engine, reading);
      const traceparent = traceparentOf(context.requestHeader);
      engine.access.assertCondition(principal, requirement, message, traceparent);
      engine.access.assertPriority(principal, request.priority);
      engine.validator.validate(workflow.input, message);
      const key = callKey(request.idempotencyKey, inputKey(workflow, message), "idempotency_key of the request");
      assertOwnName(principal, key, "idempotency key");
      const accepted = await engine.acceptance.accept({
        workflow,
        message,
        owner: ownerOf(context),
        key,
        mayUse: (owner) => sees(artifactReader(principal), owner),
        mode: RunMode.DETACHED,
        priority: request.priority,
        minQuality: request.minQuality,
        traceparent,
        metadata: forwardedMetadata(workflow, context.requestHeader, traceparent),
        ...(request.timeout === undefined ? {} : { timeoutMs: msFromDuration(request.timeout) }),
        ...(request.notifyUrl === "" ? {} : { notifyUrl: allowedUrl(request.notifyUrl, engine) }),
      });
      const { run, joined } = accepted;
      auditStart(engine.audit, accepted, context);
      return released(engine, run, async () => {
        await run.accepted;
        if (run.refusal !== undefined) {
          throw run.refusal;
        }
        return { run: await durableView(engine, run), joined };
      });
    },

    async getRun({ runId, view }, context) {
      const principal = context.values.get(principalKey);
      const isSeen = (accepted: Accepted) => seesRun(principal, accepted);
      return withVisibleRun(engine, context, runId, async (run) => ({
        run: await durableView(engine, run, view, isSeen),
      }));
    },

    async listRuns(request, context) {
      const { pageSize, pageToken, workflow, states, owner, parentRunId, createdSince, createdBefore, idempotencyKey } =
        request;
      const scope = pageScope(
        ListRunsRequestSchema,
        create(ListRunsRequestSchema, { ...request, pageSize: 0, pageToken: "" }),
      );
      const filter: RunFilter = {
        ...(workflow === "" ? {} : { workflow }),
        ...(states.length === 0 ? {} : { states }),
        ...(owner === undefined ? {} : { owner: { tenant: owner.tenant || "default", subject: owner.subject } }),
        ...(parentRunId === "" ? {} : { parentRunId }),
        ...(createdSince === undefined ? {} : { createdSinceMs: msFromTimestamp(createdSince) }),
        ...(createdBefore === undefined ? {} : { createdBeforeMs: msFromTimestamp(createdBefore) }),
      };
      const limit = pageSize || defaultRunsPage;
      const before = pageToken === "" ? undefined : parsePosition(pageToken, scope);
      const principal = context.values.get(principalKey);
      const rows =
        idempotencyKey === ""
          ? await listVisibleRuns(engine, principal, filter, {
              limit: limit + 1,
              ...(before === undefined ? {} : { beforePosition: before }),
            })
          : await visibleRunByKey(engine, principal, filter, idempotencyKey);
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
      const accepted = await withVisibleRun(engine, context, runId, async ({ record }) => record.accepted);
      const principal = context.values.get(principalKey);
      context.values.get(goesOnWhileKey)(() =>
        stillSees(engine, principal, accepted) ? undefined : accessLost(accepted),
      );
      const call = engine.openCalls.begin(context);
      try {
        const from = { runId, afterSequence: sequenceOf(afterSequence) };
        for await (const sight of engine.watch.run(from, call.signal)) {
          switch (sight.kind) {
            case "event":
              yield watched(await withPayloads(seenBy(principal, sight.event), runId, view, engine));
              break;
            case "progress":
              yield create(WatchRunResponseSchema, { update: { case: "progress", value: sight.progress } });
              break;
            case "update":
              break;
          }
        }
        call.signal.throwIfAborted();
      } finally {
        engine.openCalls.end(call);
      }
    },

    async cancelRun({ runId, reason }, context) {
      return withVisibleRun(engine, context, runId, async (run) => {
        await engine.turns.cancel(run, context.values.get(principalKey).subject, reason);
        return { run: await durableView(engine, run) };
      });
    },

    async rerunRun({ runId, idempotencyKey, discardSteps }, context) {
      return withVisibleRun(engine, context, runId, async (before) => {
        const run = await rerun(engine, before, {
          ...callerOf(context),
          key: idempotencyKey,
          discardSteps,
        });
        return released(engine, run, async () => ({ run: await durableView(engine, run) }));
      });
    },

    cancelRuns: (request, context) => cancelRuns(engine, request, callerOf(context)),

    rerunRuns: (request, context) => rerunRuns(engine, request, callerOf(context)),

    async listWorkflows(request, context) {
      const scope = pageScope(ListWorkflowsRequestSchema, create(ListWorkflowsRequestSchema, {}));
      const limit = request.pageSize || defaultWorkflowsPage;
      const after = request.pageToken === "" ? "" : String(parsePageToken(request.pageToken, scope));
      const principal = context.values.get(principalKey);
      const rest = [...engine.contracts.workflows.values()].filter(
        ({ name, method }) => name > after && engine.access.permits(principal, method),
      );
      const inside = principal.level >= AccessLevel.PRIVILEGED;
      const page = rest.slice(0, limit);
      const last = page.at(-1);
      return {
        workflows: page.map((workflow) =>
          create(WorkflowSchema, {
            workflow: workflow.name,
            inputType: workflow.input.typeName,
            outputType: workflow.output.typeName,
            streaming: workflow.streaming,
            ...(inside && {
              policy: workflow.declared,
              endpoints: engine.endpoints(workflow).map(({ endpoint }) => endpoint),
            }),
            ...pauseOf(workflow.name, engine),
          }),
        ),
        nextPageToken: rest.length > limit && last !== undefined ? createPageToken(last.name, scope) : "",
      };
    },

    async pauseWorkflow({ workflow, reason }, context) {
      assertForWorkflow(context, workflow);
      const { name } = workflowNamed(engine, workflow);
      await ifStored(engine.pauses.pause(name, ownerOf(context).subject, reason));
      return pauseOf(name, engine);
    },

    async resumeWorkflow({ workflow }, context) {
      assertForWorkflow(context, workflow);
      if (engine.pauses.of(workflow) === undefined) {
        workflowNamed(engine, workflow);
      }
      return { resumed: await ifStored(engine.pauses.resume(workflow, ownerOf(context).subject)) };
    },
  };
}

function callerOf({ values, requestHeader }: HandlerContext): Pick<RerunOrder, "principal" | "peer" | "traceparent"> {
  return {
    principal: values.get(principalKey),
    peer: values.get(peerKey),
    traceparent: traceparentOf(requestHeader),
  };
}

function pauseOf(name: string, { pauses }: Engine): { pause?: WorkflowPause } {
  const pause = pauses.of(name);
  if (pause === undefined) {
    return {};
  }
  const { workflow, pausedBy, reason, sinceMs } = pause;
  return { pause: create(WorkflowPauseSchema, { workflow, pausedBy, reason, pauseTime: timestampFromMs(sinceMs) }) };
}

function inputOf(workflow: Workflow, input: StartInput, engine: Engine, reading: ResolvedInput): Message {
  switch (input.case) {
    case "message":
      return inputFromAny(workflow, input.value, reading);
    case "json":
      return inputFromJson(workflow, input.value, { registry: engine.contracts.registry, reading });
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
  throw createDenial(
    Code.PermissionDenied,
    "NOTIFY_URL_NOT_ALLOWED",
    `notify_url: this server does not post to ${origin} for its callers; its operator can allow it in the configuration, webhooks: { allowed_urls: ["${origin}/"] }`,
  );
}

type StartInput = Parameters<ServiceImpl<typeof RunService>["startRun"]>[0]["input"];

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
