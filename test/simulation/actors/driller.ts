import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import type { FaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import { durationFromMs } from "../../../src/runs/time.ts";
import type { DrillEffect, DrillerPlan } from "../plan/actor-plan.ts";
import { workflowOf } from "../world/policy-config.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

const patienceMs = 60_000;

/** Begins it once: where it is not known whether it has begun, nobody begins another one. */
export async function drill(plan: DrillerPlan, world: World): Promise<void> {
  const { name, work, effect, percentage, forMs, removesAfterMs } = plan;
  const method = world.plan.works[work]?.method;
  if (method === undefined) {
    return;
  }
  const fault = { workflow: workflowOf(method), percentage, effect: effectOf(effect), reason: name };
  const begun = await reach(world, {
    patienceMs,
    again: false,
    call: (connection, signal) =>
      createClient(AdminService, connection).injectFault({ fault, duration: durationFromMs(forMs) }, { signal }),
  });
  if (begun.kind !== "answered" || removesAfterMs === undefined) {
    return;
  }
  await world.pause(removesAfterMs);
  const faultId = begun.answer.fault?.faultId ?? "";
  const removed = await reach(world, {
    patienceMs,
    call: (connection, signal) => createClient(AdminService, connection).removeFault({ faultId }, { signal }),
  });
  if (removed.kind === "answered") {
    world.tell("drillRemoved", faultId);
  }
}

function effectOf(effect: DrillEffect): NonNullable<MessageInitShape<typeof FaultSchema>["effect"]> {
  switch (effect.kind) {
    case "delay":
      return { case: "delay", value: { duration: durationFromMs(effect.forMs) } };
    case "status":
      return { case: "status", value: { code: effect.code } };
    case "abort":
    case "stall":
      return { case: effect.kind, value: { afterMessages: effect.afterMessages } };
    case "outOfMemory":
    case "crash":
      return { case: effect.kind, value: {} };
  }
}
