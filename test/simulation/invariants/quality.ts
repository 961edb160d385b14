import { fromBinary } from "@bufbuild/protobuf";
import { FailureCategory, Quality } from "../../../gen/retake/v1/options_pb.js";
import { type QualityEvent, QualityEventSchema } from "../../../gen/retake/v1/quality_event_pb.js";
import { PaintRequestSchema } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import type { RunHistory } from "../world/history.ts";
import { workflowOf } from "../world/policy-config.ts";
import { assert, type Invariant } from "../world/witness.ts";
import type { World } from "../world/world.ts";

/** What a level leaves of a number; the contracts stop at 2. */
const factors: Readonly<Record<number, number>> = { 1: 0.2, 2: 0.4, 3: 0.6, 4: 0.8, 5: 1 };
const leastDetail = 2;

export const quality: Invariant = {
  name: "an attempt asks for what its quality says, and for no less than its caller takes",
  witness: (world) => ({
    async called({ runId, number, method, detail, context }) {
      const { disk, plan } = world;
      const events = await disk.events(runId);
      const accepted = events[0]?.event;
      const started = events.find(({ event }) => event.case === "attemptStarted" && event.value.attempt === number);
      if (accepted?.case !== "accepted" || started?.event.case !== "attemptStarted") {
        return;
      }
      const { quality: level, changedFields } = started.event.value;
      const where = `attempt ${number} of run ${runId}, which asks for ${Quality[level]},`;
      assert(
        context === undefined || context.run.quality === level,
        `${where} was told ${Quality[context?.run.quality ?? 0]}`,
      );
      const least = Math.max(plan.policies[method].quality?.min ?? Quality.MINIMAL, accepted.value.minQuality);
      assert(level >= least, `${where} has to ask for ${Quality[least]}`);
      const records = await disk.records(`quality/${workflowOf(method)}`);
      const levels = [Quality.FULL, ...levelsOf(records.map((data) => fromBinary(QualityEventSchema, data)))];
      // It may have fallen or risen since the attempt has begun.
      const most = Math.max(...levels.slice(-2), least);
      assert(level <= most, `${where} is allowed ${Quality[most]}`);
      if (detail !== undefined) {
        const input = await disk.payload(runId, accepted.value.input?.sha256 ?? new Uint8Array());
        const { detail: sent } = fromBinary(PaintRequestSchema, input ?? new Uint8Array());
        const left = Math.min(sent, Math.max(leastDetail, Math.floor(sent * (factors[level] ?? 1))));
        assert(detail === left, `${where} asks for ${detail} of ${sent}, and not ${left}`);
        const told = changedFields.join();
        assert(told === (left === sent ? "" : "detail"), `${where} says that it has changed "${told}"`);
      }
    },
    concluded(history) {
      for (const run of history.values()) {
        assertRetakenSmaller(run, world);
        assertAchieved(run);
      }
    },
  }),
};

/** The levels that a workflow has had, the newest last; what changes none is left out. */
function levelsOf(events: readonly QualityEvent[]): Quality[] {
  return events.flatMap(({ event }) =>
    event.case === "set" || event.case === "lowered" || event.case === "raised" ? [event.value.level] : [],
  );
}

/** An attempt that has run out of memory is retaken with less, where its policy says so. */
function assertRetakenSmaller({ runId, method, accepted, events }: RunHistory, { plan }: World): void {
  const policy = plan.policies[method];
  if (policy.retry?.lowersQuality !== true) {
    return;
  }
  const least = Math.max(policy.quality?.min ?? Quality.MINIMAL, accepted.minQuality);
  let current: number = Quality.FULL;
  let most: number = Quality.FULL;
  for (const { event } of events) {
    if (event.case === "attemptStarted") {
      current = event.value.quality;
      assert(
        current <= Math.max(most, least),
        `attempt ${event.value.attempt} of run ${runId} asks for ${Quality[current]}, and there was no memory for more than ${Quality[most]}`,
      );
    } else if (event.case === "attemptFailed" && event.value.failure?.category === FailureCategory.MEMORY) {
      most = Math.min(most, current - 1);
    }
  }
}

/** The result says how much was asked for. */
function assertAchieved({ runId, events }: RunHistory): void {
  const end = events.at(-1)?.event;
  const start = events.findLast(({ event }) => event.case === "attemptStarted")?.event;
  if (end?.case !== "succeeded" || end.value.statistics?.fallbackUsed !== "" || start?.case !== "attemptStarted") {
    return;
  }
  const { qualityAchieved } = end.value.statistics;
  assert(
    qualityAchieved === start.value.quality,
    `run ${runId} says ${Quality[qualityAchieved]}, and its last attempt was ${Quality[start.value.quality]}`,
  );
}
