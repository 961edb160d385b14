import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Failure, type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import {
  type CancelRunsRequest,
  CancelRunsRequestSchema,
  type CancelRunsResponse,
  CancelRunsResponseSchema,
  type RerunRunsRequest,
  RerunRunsRequestSchema,
  type RerunRunsResponse,
  RerunRunsResponseSchema,
  type RunFilter,
} from "../../gen/retake/v1/run_service_pb.js";
import { createError, failureFromConnectError, type LiveRun, msFromTimestamp } from "../runs/index.ts";
import type { AuditEvent, Principal } from "../security/index.ts";
import type { Engine } from "./engine.ts";
import { createPageToken, pageScope, parsePosition } from "./page-token.ts";
import { type RerunOrder, rerun } from "./rerun.ts";
import { durableView, released } from "./shown-run.ts";
import { listVisibleRuns } from "./visible-runs.ts";

/** What run_service.proto promises. */
const defaultPage = 100;
const longestSample = 10;

/** A run that is being cancelled is asked no more. */
const cancellable = [
  RunState.QUEUED,
  RunState.RUNNING,
  RunState.BACKING_OFF,
  RunState.PARKED,
  RunState.DELEGATED,
] as const;
const rerunnable = [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED] as const;
const rerunByDefault = [RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED] as const;

type Caller = Pick<RerunOrder, "principal" | "peer" | "traceparent">;

/** One page of `CancelRuns`. */
export async function cancelRuns(
  engine: Engine,
  request: CancelRunsRequest,
  caller: Caller,
): Promise<CancelRunsResponse> {
  const { principal } = caller;
  const states = statesOf(request.filter, cancellable, cancellable, "cancelled");
  const response = create(CancelRunsResponseSchema);
  const page = await readPage(engine, principal, request, states, scopeOf(CancelRunsRequestSchema, request));
  for (const runId of page.runIds) {
    await withMatching(engine, runId, states, request.filter, async (run) => {
      await count(engine, run, response);
      if (request.force) {
        await engine.turns.cancel(run, principal.subject, request.reason);
        const { reason } = request;
        record(engine, caller, { action: "run.cancel", resource: runId, details: reason === "" ? {} : { reason } });
        response.cancelled += 1;
      }
    });
  }
  response.nextPageToken = page.nextPageToken(page.runIds.length);
  return response;
}

/** One page of `RerunRuns`. It ends early, and goes on with the next call, where the server takes no more for now. */
export async function rerunRuns(engine: Engine, request: RerunRunsRequest, order: Caller): Promise<RerunRunsResponse> {
  const { filter, force, batch, discardSteps } = request;
  const states = statesOf(filter, rerunnable, rerunByDefault, "rerun");
  const response = create(RerunRunsResponseSchema);
  const { tenant, subject } = order.principal;
  const page = await readPage(engine, order.principal, request, states, scopeOf(RerunRunsRequestSchema, request));
  let done = 0;
  for (const runId of page.runIds) {
    const refusal = await withMatching(engine, runId, states, filter, async (before) => {
      const { accepted } = before.record;
      if (batch !== "" && accepted.idempotencyKey.startsWith(`${batch}/`)) {
        return undefined;
      }
      if (!force) {
        await count(engine, before, response);
        return undefined;
      }
      const key = `${batch}/${runId}`;
      // A rerun that has failed meanwhile would give up its key: under one batch a run is rerun once.
      if ((await engine.journal.findRunByKey({ tenant, subject }, accepted.workflow, key)) === undefined) {
        try {
          const again = await rerun(engine, before, { ...order, key, discardSteps });
          record(engine, order, { action: "run.rerun", resource: runId, details: { new_run: again.id, batch } });
          engine.live.release(again);
          response.started += 1;
        } catch (error) {
          if (!(error instanceof ConnectError)) throw error;
          if (passes(error)) return error;
          response.refusals.push({
            $typeName: "retake.v1.RerunRefusal",
            runId,
            failure: failureFromConnectError(error) satisfies Failure,
          });
        }
      }
      await count(engine, before, response);
      return undefined;
    });
    if (refusal !== undefined) {
      if (done === 0) throw refusal;
      break;
    }
    done += 1;
  }
  response.nextPageToken = page.nextPageToken(done);
  return response;
}

/** Each run as if it had been asked for alone: whoever looks for one on record finds it. The call itself is there besides. */
function record(
  engine: Engine,
  { principal, peer }: Caller,
  what: Pick<AuditEvent, "action" | "resource" | "details">,
) {
  engine.audit.record({ ...what, outcome: "granted", principal, source: peer?.address ?? "" });
}

/** What is about the server at this moment, and not about the run. */
function passes({ code }: ConnectError): boolean {
  return code === Code.ResourceExhausted || code === Code.Unavailable;
}

async function count(engine: Engine, run: LiveRun, to: { matched: number; sample: Run[] }): Promise<void> {
  to.matched += 1;
  if (to.sample.length < longestSample) {
    to.sample.push(await durableView(engine, run));
  }
}

/** Uses a run if it matches still, and is nobody's child where none of a parent are meant. */
async function withMatching<T>(
  engine: Engine,
  runId: string,
  states: readonly RunState[],
  filter: RunFilter | undefined,
  use: (run: LiveRun) => Promise<T>,
): Promise<T | undefined> {
  const run = await engine.live.hold(runId);
  if (run === undefined) {
    return undefined;
  }
  return released(engine, run, async () => {
    const { state, accepted } = run.record;
    const matches = states.includes(state) && (accepted.parentRunId === "" || filter?.parentRunId !== "");
    return matches ? use(run) : undefined;
  });
}

interface Page {
  /** The newest first. */
  readonly runIds: readonly string[];
  /** For what comes behind so many of them; empty when nothing does. */
  nextPageToken(done: number): string;
}

interface PageRequest {
  readonly filter?: RunFilter | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

async function readPage(
  engine: Engine,
  principal: Principal,
  { filter, pageSize, pageToken }: PageRequest,
  states: readonly RunState[],
  scope: string,
): Promise<Page> {
  const limit = pageSize || defaultPage;
  const rows = await listVisibleRuns(
    engine,
    principal,
    {
      states,
      ...(filter?.workflow ? { workflow: filter.workflow } : {}),
      ...(filter?.parentRunId ? { parentRunId: filter.parentRunId } : {}),
      ...(filter?.owner === undefined
        ? {}
        : { owner: { tenant: filter.owner.tenant || "default", subject: filter.owner.subject } }),
      ...(filter?.createdSince === undefined ? {} : { createdSinceMs: msFromTimestamp(filter.createdSince) }),
      ...(filter?.createdBefore === undefined ? {} : { createdBeforeMs: msFromTimestamp(filter.createdBefore) }),
    },
    // From the newest on: what comes meanwhile, reruns above all, is left alone.
    { limit: limit + 1, ...(pageToken === "" ? {} : { beforePosition: parsePosition(pageToken, scope) }) },
  );
  const page = rows.slice(0, limit);
  return {
    runIds: page.map(({ runId }) => runId),
    nextPageToken(done) {
      const last = page[done - 1];
      return last === undefined || done >= rows.length ? "" : createPageToken(last.position, scope);
    },
  };
}

/** What stays the same from page to page. */
function scopeOf<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc> & PageRequest): string {
  return pageScope(schema, { ...request, pageSize: 0, pageToken: "" });
}

/** Those of the filter's states in which a run can be meant. @throws ConnectError when there is none */
function statesOf(
  filter: RunFilter | undefined,
  possible: readonly RunState[],
  byDefault: readonly RunState[],
  what: string,
): readonly RunState[] {
  const given = filter?.states ?? [];
  const states = given.length === 0 ? byDefault : given.filter((state) => possible.includes(state));
  if (states.length === 0) {
    throw createError(
      Code.InvalidArgument,
      "NO_SUCH_STATES",
      `filter.states: runs that are ${given.map((state) => RunState[state]).join(" or ")} cannot be ${what}; those can that are ${possible.map((state) => RunState[state]).join(", ")}`,
    );
  }
  return states;
}
