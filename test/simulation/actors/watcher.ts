import { createClient } from "@connectrpc/connect";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import type { WatcherPlan } from "../plan/actor-plan.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

const patienceMs = 600_000;

/** Watches a run to its end, over any number of streams. */
export async function watch({ name, of, eventsAtOnce, readMs }: WatcherPlan, world: World): Promise<void> {
  const runId = world.runOf(of);
  if (runId === undefined) {
    return;
  }
  let afterSequence = 0n;
  let hasEnded = false;
  while (!hasEnded) {
    const reached = await reach(world, {
      patienceMs,
      call: async (connection, signal) => {
        let seen = 0;
        for await (const { update } of createClient(RunService, connection).watchRun(
          { runId, afterSequence },
          { signal },
        )) {
          if (update.case === "event") {
            afterSequence = update.value.sequence;
            await world.ask("watched", name, runId, update.value);
            if (readMs > 0) {
              await world.pause(readMs);
            }
            if (++seen >= eventsAtOnce) {
              return false;
            }
          } else if (update.case === "progress" && update.value.fallbackRunId === "") {
            world.tell("progressed", runId, update.value);
          }
        }
        // The server ends a stream with the end of the run only.
        return true;
      },
    });
    hasEnded = reached.kind !== "answered" || reached.answer;
  }
}
