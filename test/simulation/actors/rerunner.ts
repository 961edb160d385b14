import { createClient } from "@connectrpc/connect";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import type { RerunnerPlan } from "../plan/actor-plan.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

/** Asks for it as long as the run is open, with a key, so that asking again asks for the same. */
export async function rerun({ name, of, discardsSteps: discardSteps }: RerunnerPlan, world: World): Promise<void> {
  const runId = world.runOf(of);
  if (runId === undefined) {
    return;
  }
  for (let time = 0; time < 20; time++) {
    const reached = await reach(world, {
      patienceMs: 60_000,
      call: (connection, signal) =>
        createClient(RunService, connection).rerunRun({ runId, idempotencyKey: name, discardSteps }, { signal }),
    });
    if (reached.kind === "answered") {
      world.learn(name, reached.answer.run?.runId ?? "");
      return;
    }
    await world.pause(10_000);
  }
}
