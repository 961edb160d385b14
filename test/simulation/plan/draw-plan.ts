import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { Chance } from "./chance.ts";
import { drawActors } from "./draw-actors.ts";
import { drawFaults, drawHalts, drawOutages } from "./draw-faults.ts";
import { drawFocus } from "./draw-focus.ts";
import { drawPolicy } from "./draw-policy.ts";
import { drawRemotes } from "./draw-remotes.ts";
import { drawWorks } from "./draw-works.ts";
import type { ActionPlan, MethodName, Plan } from "./plan.ts";
import { methodNames } from "./plan.ts";
import { type ActionName, actionNames, type PolicyPlan } from "./policy-plan.ts";

/** The plan of a simulation: equal seeds give equal plans. */
export function drawPlan(seed: number): Plan {
  const chance = new Chance(createSeededRandom(seed));
  const works = drawWorks(chance);
  const remotes = chance.happens(0.35) ? drawRemotes(chance) : undefined;
  const plan: Plan = {
    seed,
    server: {
      concurrencyLimit: chance.happens(0.3) ? chance.between(1, 3) : 100,
      slots: chance.happens(0.3) ? chance.between(1, 3) : 100,
      ...(remotes === undefined ? {} : { remotes }),
      syncMs: chance.oneOf([0, 2, 20]),
      ...(chance.happens(0.3)
        ? {
            retryBudget: {
              maxTokens: chance.between(1, 6),
              tokenRatio: chance.oneOf([0.1, 0.5, 1]),
              tokenIntervalMs: chance.around(500, 60_000),
            },
          }
        : {}),
      ...(chance.happens(0.5) ? { probes: { afterMs: chance.around(1, 10_000), isFailing: chance.happens(0.4) } } : {}),
      recoveries: Object.fromEntries(
        actionNames.map((name) => [
          name,
          { is: chance.oneOf(["done", "done", "failing", "not offered"]), forMs: chance.around(1, 10_000) },
        ]),
      ) as Record<ActionName, ActionPlan>,
    },
    policies: Object.fromEntries(methodNames.map((name) => [name, drawPolicy(chance, name)])) as Record<
      MethodName,
      PolicyPlan
    >,
    works,
    actors: drawActors(chance, works),
    faults: [...drawFaults(chance), ...drawOutages(chance, remotes?.endpoints.length ?? 0), ...drawHalts(chance)],
  };
  return drawFocus(chance, plan);
}
