import { createClient } from "@connectrpc/connect";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import type { CancellerPlan } from "../plan/actor-plan.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

export async function cancel({ name, of }: CancellerPlan, world: World): Promise<void> {
  const runId = world.runOf(of);
  if (runId === undefined) {
    return;
  }
  const reached = await reach(world, {
    patienceMs: 60_000,
    call: (connection, signal) =>
      createClient(RunService, connection).cancelRun({ runId, reason: `${name} wants it so` }, { signal }),
  });
  if (reached.kind === "answered" && reached.answer.run !== undefined) {
    await world.ask("shown", reached.answer.run);
  }
}
