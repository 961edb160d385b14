import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import {
  type Breaker,
  BreakerMode,
  BreakerSchema,
  ListBreakersRequestSchema,
} from "../../../gen/retake/v1/breaker_pb.js";
import type { Workflow } from "../../contract/index.ts";
import {
  createError,
  type Forcing,
  journalUnavailable,
  type ListedBreaker,
  msFromDuration,
  timestampFromMs,
} from "../../runs/index.ts";
import { callFields } from "../call-metadata.ts";
import type { Engine } from "../engine.ts";
import { assertForWorkflow, isForWorkflow } from "../limited-credentials.ts";
import { ownerOf } from "../owner-of.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";
import { workflowNamed } from "../workflow-named.ts";

const defaultPage = 100;

/** What operators see of breakers and do to them. */
export function breakerMethods(
  engine: Engine,
): Pick<ServiceImpl<typeof AdminService>, "listBreakers" | "forceBreaker"> {
  return {
    listBreakers(request, context) {
      const { workflow, states } = request;
      const scope = pageScope(ListBreakersRequestSchema, create(ListBreakersRequestSchema, { workflow, states }));
      const after = request.pageToken === "" ? "" : String(parsePageToken(request.pageToken, scope));
      const limit = request.pageSize || defaultPage;
      const found: Breaker[] = [];
      for (const each of engine.contracts.workflows.values()) {
        if (each.name <= after || (workflow !== "" && each.name !== workflow) || !isForWorkflow(context, each.name)) {
          continue;
        }
        const listed = engine.breakers.look(each);
        if (listed !== undefined && (states.length === 0 || states.includes(listed.breaker.state))) {
          if (found.length === limit) {
            return { breakers: found, nextPageToken: createPageToken(found.at(-1)?.workflow ?? "", scope) };
          }
          found.push(viewBreaker(listed));
        }
      }
      return { breakers: found, nextPageToken: "" };
    },

    async forceBreaker({ workflow: name, mode, ttl, reason }, context) {
      assertForWorkflow(context, name);
      const workflow = workflowNamed(engine, name);
      assertBreaker(workflow);
      const { status } = engine.journal;
      if (status.kind === "failing") {
        throw journalUnavailable(status.cause);
      }
      const requestedBy = ownerOf(context).subject;
      const untilMs = ttl === undefined ? undefined : engine.clock.now() + msFromDuration(ttl);
      const forcing: Forcing | undefined =
        mode === BreakerMode.AUTOMATIC
          ? undefined
          : { open: mode === BreakerMode.FORCED_OPEN, requestedBy, reason, untilMs };
      try {
        await engine.breakers.force(workflow, forcing, requestedBy, reason, callFields(context));
      } catch (error) {
        throw journalUnavailable(error);
      }
      const listed = engine.breakers.look(workflow);
      return listed === undefined ? {} : { breaker: viewBreaker(listed) };
    },
  };
}

/** A breaker for those who ask. */
export function viewBreaker({ breaker, transitions }: ListedBreaker): Breaker {
  const { workflow, backend, state, mode, counts, notBeforeMs, trialSuccesses, waveSize } = breaker;
  return create(BreakerSchema, {
    workflow,
    backend,
    state,
    mode,
    generation: BigInt(breaker.generation),
    attempts: counts.attempts,
    failures: counts.failures,
    trialSuccesses,
    waitingRuns: BigInt(breaker.waiting),
    waveSize,
    transitions: [...transitions],
    ...(notBeforeMs === undefined ? {} : { notBefore: timestampFromMs(notBeforeMs) }),
  });
}

/** @throws ConnectError FAILED_PRECONDITION for a workflow without a breaker */
function assertBreaker({ name, policy }: Workflow): void {
  if (policy.circuitBreaker === undefined) {
    throw createError(
      Code.FailedPrecondition,
      "NO_BREAKER",
      `${name} has no breaker: declare circuit_breaker in its contract or under \`workflows\` in the configuration; to hold attempts back without one, pause the workflow`,
    );
  }
}
