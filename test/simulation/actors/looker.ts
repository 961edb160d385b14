import { createClient } from "@connectrpc/connect";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import type { LookerPlan } from "../plan/actor-plan.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

export async function look({ of, times, everyMs }: LookerPlan, world: World): Promise<void> {
  const runId = world.runOf(of);
  if (runId === undefined) {
    return;
  }
  for (let time = 0; time < times; time++) {
    const reached = await reach(world, {
      patienceMs: everyMs,
      call: (connection, signal) => createClient(RunService, connection).getRun({ runId }, { signal }),
    });
    if (reached.kind === "answered" && reached.answer.run !== undefined) {
      await world.ask("shown", reached.answer.run);
    }
    await world.pause(everyMs);
  }
}
