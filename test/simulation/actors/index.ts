import type { ActorPlan } from "../plan/actor-plan.ts";
import type { World } from "../world/world.ts";
import { call } from "./caller.ts";
import { cancel } from "./canceller.ts";
import { dim } from "./dimmer.ts";
import { drill } from "./driller.ts";
import { force } from "./forcer.ts";
import { look } from "./looker.ts";
import { pauseWorkflow } from "./pauser.ts";
import { rerun } from "./rerunner.ts";
import { watch } from "./watcher.ts";

/** Lets an actor do what its plan says. Resolves when it has; rejects when it cannot believe what it is told. */
export async function act(actor: ActorPlan, world: World): Promise<void> {
  await world.pause(actor.atMs);
  switch (actor.kind) {
    case "caller":
      return call(actor, world);
    case "watcher":
      return watch(actor, world);
    case "looker":
      return look(actor, world);
    case "canceller":
      return cancel(actor, world);
    case "rerunner":
      return rerun(actor, world);
    case "pauser":
      return pauseWorkflow(actor, world);
    case "forcer":
      return force(actor, world);
    case "dimmer":
      return dim(actor, world);
    case "driller":
      return drill(actor, world);
  }
}
