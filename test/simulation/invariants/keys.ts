import { msFromDuration, msFromTimestamp } from "../../../src/runs/time.ts";
import type { RunHistory } from "../world/history.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { roundingMs } from "./times.ts";

export const keys: Invariant = {
  name: "a key stands for one run at a time",
  witness: ({ chronicle }) => {
    /** In the order in which they were accepted: several may be at the same moment. */
    const accepted = new Set<string>();
    return {
      appended(runId, [first]) {
        if (first?.event.case === "accepted") {
          accepted.delete(runId);
          accepted.add(runId);
        }
      },
      concluded(history) {
        const byKey = new Map<string, RunHistory[]>();
        for (const runId of accepted) {
          const run = history.get(runId);
          const { idempotencyKey = "", workflow } = run?.accepted ?? {};
          if (run !== undefined && idempotencyKey !== "") {
            const key = `${run.accepted.owner?.subject} ${workflow} ${idempotencyKey}`;
            byKey.set(key, [...(byKey.get(key) ?? []), run]);
          }
        }
        const acceptedMs = ({ runId }: RunHistory): number => chronicle.timeOf(runId, 1n);
        for (const runs of byKey.values()) {
          for (const [index, later] of runs.slice(1).entries()) {
            const earlier = runs[index];
            if (earlier !== undefined) {
              assertTakesOver(earlier, later);
              const end = earlier.events.at(-1);
              const endedMs = chronicle.timeOf(earlier.runId, end?.sequence ?? 0n);
              assert(
                endedMs <= acceptedMs(later),
                `run ${later.runId} has the key of run ${earlier.runId}, which is open`,
              );
            }
          }
        }
      },
    };
  },
};

/** The later run may have taken the key over from the earlier one. */
function assertTakesOver(earlier: RunHistory, later: RunHistory): void {
  const where = `run ${later.runId}, which has the key of run ${earlier.runId},`;
  assert(later.accepted.rerunOf === earlier.runId, `${where} does not take over from it`);
  const end = earlier.events.at(-1);
  switch (end?.event.case) {
    case "cancelled":
    case "expired":
      return;
    case "failed": {
      const { failure } = end.event.value;
      const againMs = msFromTimestamp(end.time) + msFromDuration(failure?.retryDelay);
      assert(failure?.retryable === true, `${where} takes over although that one failed for good`);
      assert(
        msFromTimestamp(later.events[0]?.time) >= againMs - roundingMs,
        `${where} takes over before its retry delay is over`,
      );
      return;
    }
    default:
      assert(false, `${where} takes over from a run that has ${end?.event.case}`);
  }
}
