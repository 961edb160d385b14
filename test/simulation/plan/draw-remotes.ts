import type { Chance } from "./chance.ts";
import type { RemotesPlan } from "./plan.ts";

export function drawRemotes(chance: Chance): RemotesPlan {
  return {
    besideOwn: chance.happens(0.3),
    endpoints: chance.many(chance.oneOf([1, 2, 2, 3]), (index) => ({
      target: `dns:///remote-${index}:50061`,
      slots: chance.happens(0.6) ? chance.between(1, 2) : 100,
      answerMs: chance.around(1, 200),
    })),
    healthIntervalMs: chance.around(1_000, 30_000),
    healthTimeoutMs: chance.around(500, 5_000),
    ...(chance.happens(0.7)
      ? {
          outliers: {
            consecutiveFailures: chance.between(1, 3),
            baseEjectionMs: chance.around(1_000, 30_000),
            maxEjectionMs: chance.around(5_000, 60_000),
            maxEjectionPercent: chance.oneOf([50, 100]),
          },
        }
      : {}),
  };
}
