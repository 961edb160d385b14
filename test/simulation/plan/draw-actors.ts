import type { ActorPlan, CallerPlan } from "./actor-plan.ts";
import type { Chance } from "./chance.ts";
import type { WorkPlan } from "./work-plan.ts";

/** New actors come for that long. */
const comingMs = 120_000;

export function drawActors(chance: Chance, works: readonly WorkPlan[]): ActorPlan[] {
  const callers = chance.many(chance.between(1, 8), (index) => drawCaller(chance, index, works));
  const others = chance.many(chance.between(0, 8), (index) => drawOther(chance, index, callers, works));
  return [...callers, ...others];
}

function drawCaller(chance: Chance, index: number, works: readonly WorkPlan[]): CallerPlan {
  // Few keys, so that callers meet.
  const key = chance.happens(0.6) ? `key-${chance.between(1, 3)}` : undefined;
  return {
    kind: "caller",
    name: `caller-${index}`,
    atMs: chance.between(0, comingMs),
    work: chance.between(0, works.length - 1),
    ...(key === undefined ? {} : { key }),
    how: chance.oneOf(["attached", "attached", "detached", "started"]),
    priority: chance.happens(0.3) ? chance.between(-1, 1) : 0,
    visits: chance.many(key === undefined ? 1 : chance.between(1, 3), (visit) => ({
      afterMs: visit === 0 ? 0 : chance.around(100, 90_000),
      patienceMs: chance.happens(0.5) ? chance.around(10, 20_000) : 600_000,
    })),
  };
}

function drawOther(
  chance: Chance,
  index: number,
  callers: readonly CallerPlan[],
  works: readonly WorkPlan[],
): ActorPlan {
  const { name: of, atMs: calledMs } = chance.oneOf(callers);
  const atMs = calledMs + chance.around(1, 60_000);
  switch (chance.oneOf(["watcher", "watcher", "watcher", "looker", "looker", "canceller", "rerunner", "pauser"])) {
    case "looker":
      return {
        kind: "looker",
        name: `looker-${index}`,
        atMs,
        of,
        times: chance.between(1, 6),
        everyMs: chance.around(10, 20_000),
      };
    case "canceller":
      return { kind: "canceller", name: `canceller-${index}`, atMs, of };
    case "rerunner":
      return { kind: "rerunner", name: `rerunner-${index}`, atMs, of, discardsSteps: chance.happens(0.3) };
    case "pauser":
      return {
        kind: "pauser",
        name: `pauser-${index}`,
        atMs,
        work: chance.between(0, works.length - 1),
        forMs: chance.around(100, 120_000),
      };
    default:
      return {
        kind: "watcher",
        name: `watcher-${index}`,
        atMs,
        of,
        eventsAtOnce: chance.happens(0.5) ? chance.between(1, 4) : 1_000,
        readMs: chance.happens(0.3) ? chance.around(1, 2_000) : 0,
      };
  }
}
