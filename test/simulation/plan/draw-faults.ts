import type { Chance } from "./chance.ts";
import type { FaultPlan } from "./fault-plan.ts";

/** Faults begin within that time; those that are begun by then end soon after. */
const troubleMs = 180_000;
/** More commits than this are rare in that time. */
const commits = 60;
/** And more appends than this. */
const appends = 100;
/** Of which so many are of runs with parents, children or fallbacks. */
const ofFamilies = 20;

export function drawFaults(chance: Chance): FaultPlan[] {
  return chance.many(chance.between(0, 5), () => drawFault(chance));
}

function drawFault(chance: Chance): FaultPlan {
  const kind = chance.oneOf(["crash", "crash", "crash", "drain", "disk", "reads", "refusal", "jump"] as const);
  const atMs = chance.between(1_000, troubleMs);
  switch (kind) {
    case "crash":
      return {
        kind,
        atCommit: chance.around(2, commits),
        isStored: chance.happens(0.5),
        downMs: chance.around(10, 30_000),
      };
    case "drain":
      return {
        kind,
        atMs,
        drainMs: chance.happens(0.5) ? 0 : chance.around(100, 20_000),
        downMs: chance.around(10, 30_000),
      };
    case "disk":
      return { kind, atMs, forMs: chance.around(10, 30_000), isWritten: chance.happens(0.5) };
    case "reads":
      return { kind, atMs, forMs: chance.around(10, 30_000), share: chance.oneOf([0.2, 0.5, 1]) };
    case "refusal": {
      const isOfFamily = chance.happens(0.5);
      return { kind, isOfFamily, atAppend: chance.around(1, isOfFamily ? ofFamilies : appends) };
    }
    case "jump":
      return { kind, atMs, byMs: (chance.happens(0.5) ? 1 : -1) * chance.around(1_000, 300_000) };
  }
}

/** Runs wait for recoveries seldom, and not for long: what comes at any time hardly ever comes then. */
export function drawHalts(chance: Chance): FaultPlan[] {
  return chance.many(chance.happens(0.3) ? 1 : 0, () => ({
    kind: "halt",
    atRecovery: chance.around(1, 10),
    drainMs: chance.around(1_000, 20_000),
    downMs: chance.around(10, 30_000),
  }));
}

/** What goes wrong at endpoints elsewhere, if there are any. */
export function drawOutages(chance: Chance, endpoints: number): FaultPlan[] {
  return chance.many(endpoints === 0 ? 0 : chance.between(0, 4), () => ({
    kind: "outage",
    endpoint: chance.between(0, endpoints - 1),
    what: chance.oneOf(["gone", "stale", "not serving", "silent", "failing", "failing"]),
    atMs: chance.between(1_000, troubleMs),
    forMs: chance.around(500, 60_000),
  }));
}
