import type { Chance } from "./chance.ts";
import { failureCodes } from "./draw-policy.ts";
import { isStreaming, type MethodName, methodNames } from "./plan.ts";
import type { Operation, WorkPlan } from "./work-plan.ts";

export function drawWorks(chance: Chance): WorkPlan[] {
  const count = chance.between(2, 6);
  return chance.many(count, (index) => {
    const method = chance.oneOf(methodNames);
    const operations = chance.many(chance.between(0, 6), (place) =>
      drawOperation(chance, { method, place, later: count - index - 1, index }),
    );
    return { method, operations };
  });
}

interface Surroundings {
  readonly method: MethodName;
  readonly index: number;
  readonly place: number;
  /** Works that stand later. */
  readonly later: number;
}

function drawOperation(chance: Chance, { method, index, place, later }: Surroundings): Operation {
  const kinds: Operation["kind"][] = [
    "wait",
    "wait",
    "step",
    "step",
    "step",
    "checkpoint",
    "progress",
    "fail",
    "stall",
  ];
  if (later > 0) {
    kinds.push("child", "child");
  }
  if (isStreaming(method)) {
    kinds.push("update", "update");
  }
  const kind = chance.oneOf(kinds);
  switch (kind) {
    case "wait":
      return { kind, forMs: chance.around(1, 10_000) };
    case "step":
      return {
        kind,
        name: `step-${place}`,
        forMs: chance.happens(0.3) ? 0 : chance.around(1, 5_000),
        failures: chance.happens(0.2) ? chance.between(1, 2) : 0,
        tries: chance.between(1, 3),
      };
    case "checkpoint":
      return { kind, handle: `job-${index}-${place}` };
    case "progress":
      return { kind };
    case "update":
      return { kind, keep: chance.oneOf(["latest", "all"]) };
    case "child":
      return { kind, name: `child-${place}`, work: index + chance.between(1, later) };
    case "fail":
      return {
        kind,
        upToAttempt: chance.between(1, 4),
        ...(chance.happens(0.1) ? {} : { code: chance.happens(0.6) ? "UNAVAILABLE" : chance.oneOf(failureCodes) }),
        ...(chance.happens(0.2) ? { retryDelayMs: chance.around(10, 20_000) } : {}),
        isOutOfMemory: chance.happens(0.25),
        sparesFallbacks: chance.happens(0.6),
      };
    case "stall":
      return {
        kind,
        upToAttempt: chance.between(1, 2),
        forMs: chance.around(5_000, 60_000),
        isDeaf: chance.happens(0.3),
        isAlive: chance.happens(0.5),
      };
  }
}
