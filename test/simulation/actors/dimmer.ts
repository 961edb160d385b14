import { createClient } from "@connectrpc/connect";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { durationFromMs } from "../../../src/runs/time.ts";
import type { DimmerPlan } from "../plan/actor-plan.ts";
import { workflowOf } from "../world/policy-config.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

export async function dim({ name, work, level, forMs }: DimmerPlan, world: World): Promise<void> {
  const method = world.plan.works[work]?.method;
  if (method === undefined) {
    return;
  }
  const order = { workflow: workflowOf(method), level, holdFor: durationFromMs(forMs), reason: name };
  await reach(world, {
    patienceMs: 60_000,
    call: (connection, signal) => createClient(AdminService, connection).setQualityLevel(order, { signal }),
  });
}
