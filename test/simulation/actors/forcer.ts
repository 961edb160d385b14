import { createClient } from "@connectrpc/connect";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import { durationFromMs } from "../../../src/runs/time.ts";
import type { ForcerPlan } from "../plan/actor-plan.ts";
import { workflowOf } from "../world/policy-config.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

export async function force({ name, work, isOpen, forMs }: ForcerPlan, world: World): Promise<void> {
  const method = world.plan.works[work]?.method;
  if (method === undefined) {
    return;
  }
  const order = {
    workflow: workflowOf(method),
    mode: isOpen ? BreakerMode.FORCED_OPEN : BreakerMode.FORCED_CLOSED,
    ttl: durationFromMs(forMs),
    reason: name,
  };
  await reach(world, {
    patienceMs: 60_000,
    call: (connection, signal) => createClient(AdminService, connection).forceBreaker(order, { signal }),
  });
}
