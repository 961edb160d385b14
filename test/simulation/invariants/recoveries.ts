import { FailureCategory, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";
import type { MethodName } from "../plan/plan.ts";
import type { ActionName, PolicyPlan, RecoveryRulePlan } from "../plan/policy-plan.ts";
import { methodOf, type RunHistory } from "../world/history.ts";
import { assert, type Invariant, type RecoverySight } from "../world/witness.ts";
import type { World } from "../world/world.ts";
import { roundingMs } from "./times.ts";

export const recoveries: Invariant = {
  name: "a back-end recovers before the retry, as the policy says, and each thing once",
  witness: (world) => {
    const { plan, chronicle, clock } = world;
    const seen: RecoverySight[] = [];
    /** Those that the journal tells of. */
    const journaled = new Set<RecoverySight>();
    /** Those that it does not, because it has refused an append of their run: they are done again. */
    const forgotten = new Set<RecoverySight>();
    /** Runs of which the journal has refused something, until it takes something again: they may not have heard of it. */
    const refusedRuns = new Set<string>();
    const methods = new Map<string, MethodName>();
    /** When attempts failed, by run and attempt. */
    const failuresMs = new Map<string, number>();
    return {
      appended(runId, events) {
        refusedRuns.delete(runId);
        for (const { event } of events) {
          if (event.case === "accepted") {
            methods.set(runId, methodOf(event.value.workflow));
          } else if (event.case === "attemptFailed") {
            failuresMs.set(`${runId} ${event.value.attempt}`, clock.monotonic());
          } else if (event.case === "recoveryActed") {
            const name = RecoveryAction[event.value.action];
            const told = seen.findLast(({ action, runId: other }) => action === name && other === runId);
            if (told !== undefined) {
              journaled.add(told);
            }
          }
        }
      },
      refused(runId) {
        refusedRuns.add(runId);
        for (const sight of seen) {
          if (sight.runId === runId) {
            forgotten.add(sight);
          }
        }
      },
      recovering(recovery) {
        const { action, runId, attempt, server, startedMs } = recovery;
        const same = seen.filter(
          (other) => other.action === action && other.endpoint === recovery.endpoint && other.server === server,
        );
        assert(
          same.every(
            (other) =>
              other.runId !== runId || other.attempt !== attempt || (forgotten.has(other) && !journaled.has(other)),
          ),
          `${action} is done twice for attempt ${attempt} of run ${runId}`,
        );
        // To interrupt is about one job.
        const other = action === "INTERRUPT" ? undefined : same.find(({ endedMs }) => endedMs > startedMs);
        assert(other === undefined, `${action} is done for run ${runId}, while it is under way for ${other?.runId}`);
        const failedMs = failuresMs.get(`${runId} ${attempt}`) ?? Number.POSITIVE_INFINITY;
        // How long ago it failed is told by the wall clock.
        if (action !== "INTERRUPT" && !chronicle.hasJumped(failedMs, startedMs)) {
          const method = methods.get(runId);
          assert(method !== undefined, `${action} is done for run ${runId}, which nobody has accepted`);
          const rules = plan.policies[method].recovery ?? [];
          const { cooldownMs = 0 } = rules.find((rule) => rule.action === action) ?? {};
          const warm = same.find(({ endedMs }) => failedMs < endedMs + cooldownMs - roundingMs);
          assert(
            warm === undefined,
            `${action} is done for run ${runId}, and was done for ${warm?.runId} less than ${cooldownMs} ms before that failed`,
          );
        }
        seen.push(recovery);
        if (refusedRuns.has(runId)) {
          forgotten.add(recovery);
        }
      },
      concluded(history) {
        const tries = [...seen, ...unreachedTries(history.values(), world)];
        for (const run of history.values()) {
          assertRecovered(run, seen, tries, world);
        }
      },
    };
  },
};

/** What a server has tried, as far as a cool-down goes. */
type Try = Pick<RecoverySight, "action" | "startedMs" | "endedMs">;

/** Those that never came to their back-end, which could not be reached: the journal alone knows of them. */
function unreachedTries(history: Iterable<RunHistory>, { chronicle }: World): Try[] {
  const tries: Try[] = [];
  for (const { runId, events } of history) {
    for (const { event, sequence } of events) {
      if (event.case !== "recoveryActed") continue;
      const { action, error } = event.value;
      const name = RecoveryAction[action] as Try["action"];
      if (error === "" || error === `${name} fails`) continue;
      const ms = chronicle.timeOf(runId, sequence);
      tries.push({ action: name, startedMs: ms, endedMs: ms });
    }
  }
  return tries;
}

function assertRecovered(
  run: RunHistory,
  seen: readonly RecoverySight[],
  tries: readonly Try[],
  { plan, chronicle }: World,
): void {
  const { runId, method, events } = run;
  const policy = plan.policies[method];
  let failed: Failed | undefined;
  let attempt = 0;
  for (const { event, sequence } of events) {
    const where = `event ${sequence} (${event.case}) of run ${runId}`;
    if (event.case === "attemptFailed" && event.value.counted && event.value.failure !== undefined) {
      const failedMs = chronicle.timeOf(runId, sequence);
      failed = { rules: rulesFor(policy, event.value.failure), failedMs, acted: [] };
    } else if (event.case === "recoveryActed") {
      const name = RecoveryAction[event.value.action];
      const place = failed?.rules.findIndex(({ action }) => action === name) ?? -1;
      assert(failed !== undefined && place >= 0, `${where} does ${name}, which its policy does not say`);
      const last = failed.acted.at(-1) ?? -1;
      assert(place > last, `${where} does ${name} after number ${last} of its policy`);
      failed.acted.push(place);
      const { action, error } = { action: failed.rules[place]?.action ?? "RESTART", error: event.value.error };
      // What is done about endpoints, and endpoints that nobody can ask, are told of elsewhere.
      if (!isOfBackend(action) || (error !== "" && event.value.endpoint !== "in-process")) {
        continue;
      }
      const { is } = plan.server.recoveries[action];
      assert(is !== "not offered", `${where} does ${name}, which nobody offers`);
      assert(is !== "failing" || event.value.error !== "", `${where} says that ${name} was done, and it has failed`);
      const nowMs = chronicle.timeOf(runId, sequence);
      const isDone = seen.some(({ action, startedMs }) => action === name && startedMs <= nowMs);
      assert(isDone, `${where} does ${name}, and the back-end knows nothing of it`);
    } else if (event.case === "attemptStarted") {
      attempt = event.value.attempt;
      const nowMs = chronicle.timeOf(runId, sequence);
      // How long ago it failed is told by the wall clock.
      if (failed !== undefined && !chronicle.hasJumped(failed.failedMs, nowMs)) {
        assertNothingLeftOut({ runId, attempt, failed, nowMs }, tries, plan);
      }
      failed = undefined;
    }
  }
}

interface Failed {
  /** Those that answer its failure, in order. */
  readonly rules: readonly RecoveryRulePlan[];
  readonly failedMs: number;
  /** Their places, as they were done. */
  readonly acted: number[];
}

interface Retake {
  readonly runId: string;
  readonly attempt: number;
  readonly failed: Failed;
  readonly nowMs: number;
}

/** What was not done for a failure had been done for others not long before. */
function assertNothingLeftOut(
  { runId, attempt, failed, nowMs }: Retake,
  tries: readonly Try[],
  { server }: World["plan"],
): void {
  failed.rules.forEach(({ action, cooldownMs }, place) => {
    if (failed.acted.includes(place) || !isOfBackend(action) || server.recoveries[action].is === "not offered") {
      return;
    }
    const isCool = tries.some(
      (other) => other.action === action && other.startedMs <= nowMs && other.endedMs + cooldownMs >= failed.failedMs,
    );
    assert(
      action !== "INTERRUPT" && isCool,
      `attempt ${attempt} of run ${runId} begins, and nobody has done ${action} about the failure before it`,
    );
  });
}

function isOfBackend(action: RecoveryRulePlan["action"]): action is ActionName {
  return action !== "RECONNECT" && action !== "SWITCH_ENDPOINT";
}

function rulesFor({ recovery = [] }: PolicyPlan, { category }: Failure): readonly RecoveryRulePlan[] {
  return recovery.filter(({ isForMemory }) => !isForMemory || category === FailureCategory.MEMORY);
}
