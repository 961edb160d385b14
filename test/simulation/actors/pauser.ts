import { createClient } from "@connectrpc/connect";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import type { PauserPlan } from "../plan/actor-plan.ts";
import { workflowOf } from "../world/policy-config.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

export async function pauseWorkflow({ name, work, forMs }: PauserPlan, world: World): Promise<void> {
  const method = world.plan.works[work]?.method;
  if (method === undefined) {
    return;
  }
  const workflow = workflowOf(method);
  const patienceMs = 300_000;
  await reach(world, {
    patienceMs,
    call: (connection, signal) =>
      createClient(RunService, connection).pauseWorkflow({ workflow, reason: name }, { signal }),
  });
  await world.pause(forMs);
  await reach(world, {
    patienceMs,
    call: (connection, signal) => createClient(RunService, connection).resumeWorkflow({ workflow }, { signal }),
  });
}
