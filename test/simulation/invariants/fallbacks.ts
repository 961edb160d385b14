import { Code } from "@connectrpc/connect";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";
import type { MethodName } from "../plan/plan.ts";
import type { Chronicle } from "../world/chronicle.ts";
import type { History, RunHistory } from "../world/history.ts";
import { workflowOf } from "../world/policy-config.ts";
import { assert, type Invariant } from "../world/witness.ts";

/** How many of them may stand in for each other. */
const deepest = 4;

export const fallbacks: Invariant = {
  name: "fallbacks are turned to in order, one at a time, and a run ends as its fallback does",
  witness: ({ plan, chronicle }) => ({
    concluded(history) {
      for (const run of history.values()) {
        const ofPolicy = plan.policies[run.method].fallbacks ?? [];
        assertInOrder(run, ofPolicy, history);
        assertBehindEnds(run, history, chronicle);
        assertAllTried(run, ofPolicy);
        const { parentRunId, fallback } = run.accepted;
        if (fallback) {
          const started = history
            .get(parentRunId)
            ?.events.find(({ event }) => event.case === "fallbackStarted" && event.value.childRunId === run.runId);
          assert(started !== undefined, `run ${run.runId} stands in for run ${parentRunId}, which knows nothing of it`);
          assert(
            chronicle.timeOf(parentRunId, started.sequence) <= chronicle.timeOf(run.runId, 1n),
            `run ${run.runId} stands in for run ${parentRunId} before that says so`,
          );
        }
      }
    },
  }),
};

function assertInOrder({ runId, events }: RunHistory, ofPolicy: readonly MethodName[], history: History): void {
  let last = -1;
  let working: RunHistory | undefined;
  for (const { event, sequence } of events) {
    const where = `event ${sequence} (${event.case}) of run ${runId}`;
    switch (event.case) {
      case "fallbackStarted":
      case "fallbackSkipped": {
        const { index, workflow, reason } = event.value;
        const method = ofPolicy[index];
        assert(
          method !== undefined && workflowOf(method) === workflow,
          `${where} names ${workflow}, which is not number ${index} of its policy`,
        );
        assert(index === last + 1, `${where} turns to number ${index} after number ${last}`);
        assert(reason !== "", `${where} does not say why`);
        last = index;
        if (event.case === "fallbackStarted") {
          working = history.get(event.value.childRunId);
        }
        break;
      }
      case "fallbackEnded": {
        const end = working?.events.at(-1)?.event;
        assert(end?.case !== "succeeded" || isUnusable(event.value.failure), `${where} says nothing of its answer`);
        assert(
          end?.case !== "failed" || end.value.failure?.reason === event.value.failure?.reason,
          `${where} says ${event.value.failure?.reason}, and the fallback ${end?.case === "failed" && end.value.failure?.reason}`,
        );
        working = undefined;
        break;
      }
      case "succeeded": {
        const used = event.value.statistics?.fallbackUsed ?? "";
        const end = working?.events.at(-1)?.event;
        assert(
          used === "" ? working === undefined : used === working?.accepted.workflow && end?.case === "succeeded",
          `${where} says that "${used}" has answered, and its fallback is ${working?.runId}, ${end?.case}`,
        );
        break;
      }
    }
  }
}

/** What a run makes of the end of a fallback comes behind that. */
function assertBehindEnds({ runId, events }: RunHistory, history: History, chronicle: Chronicle): void {
  let working: RunHistory | undefined;
  for (const { event, sequence } of events) {
    if (event.case === "fallbackStarted") {
      working = history.get(event.value.childRunId);
    } else if (event.case === "fallbackEnded" || event.case === "succeeded") {
      const end = working?.events.at(-1);
      assert(
        working === undefined ||
          end === undefined ||
          chronicle.timeOf(working.runId, end.sequence) <= chronicle.timeOf(runId, sequence),
        `event ${sequence} (${event.case}) of run ${runId} comes before its fallback ${working?.runId} has ended`,
      );
      working = undefined;
    }
  }
}

/** A run that fails has nobody left to turn to, unless nobody else should be asked. */
function assertAllTried({ runId, accepted, events }: RunHistory, ofPolicy: readonly MethodName[]): void {
  const end = events.at(-1)?.event;
  if (end?.case !== "failed" || isCallersDoing(end.value.failure) || accepted.fallbackDepth >= deepest) {
    return;
  }
  const tried = events.filter(({ event: { case: kind } }) => kind === "fallbackStarted" || kind === "fallbackSkipped");
  assert(
    tried.length === ofPolicy.length,
    `run ${runId} has failed (${end.value.failure?.reason}) after ${tried.length} of its ${ofPolicy.length} fallbacks`,
  );
}

/** What was made must not be made twice is no fallback's business either. */
function isCallersDoing(failure: Failure | undefined): boolean {
  return (
    failure?.category === FailureCategory.VALIDATION ||
    (failure?.code === Code.Aborted && failure.reason === "INTERRUPTED")
  );
}

function isUnusable(failure: Failure | undefined): boolean {
  return failure?.reason === "FALLBACK_RESULT";
}
