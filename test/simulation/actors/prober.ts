import { createClient } from "@connectrpc/connect";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { methodNames, slotsOf } from "../plan/plan.ts";
import { probeWork } from "../world/handlers.ts";
import { workflowOf } from "../world/policy-config.ts";
import type { World } from "../world/world.ts";
import { reach } from "./reach.ts";

/** More than the longest drill, and what a clock that is set back adds to it. */
const restMs = 400_000;
/** More would cost time, and say no more. */
const mostProbes = 3;

/** Fills each limit once when all is over, so that a place that nobody has given back is missed. */
export async function probeRoom(world: World): Promise<void> {
  const { policies, server } = world.plan;
  const slots = [...slotsOf(server).values()].reduce((sum, each) => sum + each, 0);
  let isRested = false;
  for (const method of methodNames) {
    const { concurrency, breaker } = policies[method];
    // They all come from one principal.
    const { limit = Number.POSITIVE_INFINITY, perPrincipal = Number.POSITIVE_INFINITY } = concurrency ?? {};
    const count = Math.min(limit, perPrincipal, server.concurrencyLimit, slots);
    // Behind a breaker there may be more in the way than limits.
    if (count > mostProbes || breaker !== undefined) {
      continue;
    }
    if (!isRested) {
      await world.pause(restMs);
      isRested = true;
    }
    const workflow = workflowOf(method);
    const patienceMs = 60_000;
    await reach(world, {
      patienceMs,
      call: (connection, signal) => createClient(RunService, connection).resumeWorkflow({ workflow }, { signal }),
    });
    world.tell("probing", method, count);
    const input = { case: "json" as const, value: JSON.stringify({ work: probeWork }) };
    await Promise.all(
      Array.from({ length: count }, () =>
        reach(world, {
          patienceMs,
          again: false,
          call: (connection, signal) => createClient(RunService, connection).startRun({ workflow, input }, { signal }),
        }),
      ),
    );
    await world.untilQuiet();
    world.tell("probed", method);
  }
}
