import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { Chance } from "./chance.ts";
import { drawActors } from "./draw-actors.ts";
import { drawFaults } from "./draw-faults.ts";
import { drawPolicy } from "./draw-policy.ts";
import { drawWorks } from "./draw-works.ts";
import type { MethodName, Plan } from "./plan.ts";
import { methodNames } from "./plan.ts";
import type { PolicyPlan } from "./policy-plan.ts";

/** The plan of a simulation: equal seeds give equal plans. */
export function drawPlan(seed: number): Plan {
  const chance = new Chance(createSeededRandom(seed));
  const works = drawWorks(chance);
  return {
    seed,
    server: {
      concurrencyLimit: chance.happens(0.3) ? chance.between(1, 3) : 100,
      slots: chance.happens(0.3) ? chance.between(1, 3) : 100,
      syncMs: chance.oneOf([0, 2, 20]),
    },
    policies: Object.fromEntries(methodNames.map((name) => [name, drawPolicy(chance)])) as Record<
      MethodName,
      PolicyPlan
    >,
    works,
    actors: drawActors(chance, works),
    faults: drawFaults(chance),
  };
}
