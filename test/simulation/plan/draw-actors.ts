import { type ActorPlan, type CallerPlan, type DrillEffect, principalNames } from "./actor-plan.ts";
import type { Chance } from "./chance.ts";
import { failureCodes } from "./draw-policy.ts";
import type { WorkPlan } from "./work-plan.ts";

/** New actors come for that long. */
const comingMs = 120_000;

export function drawActors(chance: Chance, works: readonly WorkPlan[]): ActorPlan[] {
  const callers = chance.many(chance.between(1, 8), (index) => drawCaller(chance, index, works));
  const others = chance.many(chance.between(0, 8), (index) => drawOther(chance, index, callers, works));
  return [...callers, ...(chance.happens(0.15) ? drawCrowd(chance, works) : []), ...others];
}

/** Many who want the same at once. */
function drawCrowd(chance: Chance, works: readonly WorkPlan[]): CallerPlan[] {
  const atMs = chance.between(0, comingMs);
  const work = chance.between(0, works.length - 1);
  const count = chance.between(4, 9);
  const first = chance.oneOf(principalNames);
  return chance.many(count, (index) => ({
    kind: "caller",
    // One of them has more to do than the others.
    as: index < count / 2 ? first : chance.oneOf(principalNames),
    name: `crowd-${index}`,
    atMs: atMs + chance.between(0, 3_000),
    work,
    how: "started",
    priority: 0,
    detail: 10,
    minQuality: 1,
    visits: [{ afterMs: 0, patienceMs: 600_000 }],
  }));
}

function drawCaller(chance: Chance, index: number, works: readonly WorkPlan[]): CallerPlan {
  // Few keys, so that callers meet.
  const key = chance.happens(0.6) ? `key-${chance.between(1, 3)}` : undefined;
  return {
    kind: "caller",
    // Few share a key with somebody else, so that callers meet.
    as: chance.happens(0.7) ? "ada" : chance.oneOf(principalNames),
    name: `caller-${index}`,
    atMs: chance.between(0, comingMs),
    work: chance.between(0, works.length - 1),
    ...(key === undefined ? {} : { key }),
    how: chance.oneOf(["attached", "attached", "detached", "started"]),
    priority: chance.happens(0.3) ? chance.between(-1, 1) : 0,
    // Callers who meet ask for the same.
    detail: key === undefined ? chance.oneOf([0, 3, 10, 60]) : 10,
    minQuality: chance.happens(0.2) ? chance.between(2, 5) : 1,
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
  const kinds = [
    "watcher",
    "watcher",
    "watcher",
    "looker",
    "looker",
    "canceller",
    "rerunner",
    "pauser",
    "forcer",
    "dimmer",
    "driller",
    "driller",
  ] as const;
  switch (chance.oneOf(kinds)) {
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
    case "forcer":
      return {
        kind: "forcer",
        name: `forcer-${index}`,
        atMs,
        work: chance.between(0, works.length - 1),
        isOpen: chance.happens(0.6),
        forMs: chance.around(1_000, 60_000),
      };
    case "dimmer":
      return {
        kind: "dimmer",
        name: `dimmer-${index}`,
        atMs,
        work: chance.between(0, works.length - 1),
        level: chance.between(1, 4),
        forMs: chance.around(1_000, 60_000),
      };
    case "driller":
      return {
        kind: "driller",
        name: `driller-${index}`,
        atMs: calledMs + chance.around(1, 20_000) - 5_000,
        work: chance.between(0, works.length - 1),
        effect: drawEffect(chance),
        percentage: chance.oneOf([30, 100]),
        forMs: chance.around(1_000, 60_000),
        ...(chance.happens(0.4) ? { removesAfterMs: chance.around(100, 30_000) } : {}),
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

function drawEffect(chance: Chance): DrillEffect {
  const kind = chance.oneOf(["delay", "status", "abort", "stall", "outOfMemory", "crash"] as const);
  switch (kind) {
    case "delay":
      return { kind, forMs: chance.around(10, 30_000) };
    case "status":
      return { kind, code: chance.oneOf(failureCodes) };
    case "abort":
    case "stall":
      return { kind, afterMessages: chance.between(0, 2) };
    default:
      return { kind };
  }
}
