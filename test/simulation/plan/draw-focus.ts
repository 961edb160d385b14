import { type CallerPlan, principalNames } from "./actor-plan.ts";
import type { Chance } from "./chance.ts";
import { leaveOut, policyPart, policyParts } from "./parts.ts";
import { type MethodName, methodNames, type Plan } from "./plan.ts";
import { actionNames, type PolicyPlan, type RetryPlan } from "./policy-plan.ts";
import type { Operation } from "./work-plan.ts";

/** The share of plans that are led to one of these. */
const share = 0.2;

/**
 * Situations in which so much has to meet that chance alone hardly ever comes to them: they are added to what was drawn, and take
 * out of it what would lead elsewhere.
 */
const situations = [retriedOrphan, speaksWhileAsked, halfToken, refusedEnd, refusedAnswer, haltedRecovery];

/** A plan as it was drawn, or one of the few that are led to a situation. */
export function drawFocus(chance: Chance, plan: Plan): Plan {
  return chance.happens(share) ? chance.oneOf(situations)(chance, plan) : plan;
}

interface Situation {
  readonly method: MethodName;
  readonly operations: readonly Operation[];
  readonly policy?: Partial<PolicyPlan>;
  readonly callers: readonly Partial<CallerPlan>[];
}

/** Parts of a policy that would lead somewhere else. */
const distractions = policyParts.filter((part) => part !== "retry");

/** One work more, with callers of its own. */
function add(plan: Plan, { method, operations, policy, callers }: Situation): Plan {
  const left = leaveOut(plan, new Set(distractions.map((part) => policyPart(method, part))));
  return {
    ...left,
    policies: { ...left.policies, [method]: { ...left.policies[method], timeoutMs: 300_000, ...policy } },
    works: [...left.works, { method, operations }],
    actors: [
      ...left.actors,
      ...callers.map(
        (caller, index): CallerPlan => ({
          kind: "caller",
          as: "ada",
          name: `led-${index}`,
          atMs: 0,
          work: left.works.length,
          how: "attached",
          priority: 0,
          detail: 10,
          minQuality: 1,
          visits: [{ afterMs: 0, patienceMs: 600_000 }],
          ...caller,
        }),
      ),
    ],
  };
}

function soon(chance: Chance, maxAttempts: number): RetryPlan {
  const initialBackoffMs = chance.around(10, 400);
  return {
    maxAttempts,
    initialBackoffMs,
    maxBackoffMs: initialBackoffMs,
    backoffMultiplier: 1,
    codes: ["UNAVAILABLE"],
    lowersQuality: false,
  };
}

function unavailable(upToAttempt: number): Operation & { kind: "fail" } {
  return { kind: "fail", upToAttempt, code: "UNAVAILABLE", isOutOfMemory: false, sparesFallbacks: false };
}

/** The attempt of an orphan fails, and the one after it would last for longer than callers are waited for. */
function retriedOrphan(chance: Chance, plan: Plan): Plan {
  const patienceMs = chance.around(300, 5_000);
  const callerGraceMs = chance.oneOf([1_000, 10_000]);
  return add(plan, {
    method: chance.oneOf(methodNames),
    operations: [
      { kind: "wait", forMs: patienceMs + chance.between(1, callerGraceMs / 2) },
      unavailable(1),
      { kind: "wait", forMs: callerGraceMs + chance.between(5_000, 30_000) },
    ],
    policy: { retry: soon(chance, chance.between(2, 5)), callerGraceMs },
    callers: [{ key: "key-led", atMs: chance.between(0, 60_000), visits: [{ afterMs: 0, patienceMs }] }],
  });
}

/** An attempt that is silent for too long says something while its back-end is asked, and is silent again. */
function speaksWhileAsked(chance: Chance, plan: Plan): Plan {
  const progressTimeoutMs = chance.between(3_000, 20_000);
  const afterMs = chance.around(10, 900);
  const silent = (forMs: number): Operation => ({
    kind: "stall",
    upToAttempt: 9,
    forMs,
    isDeaf: false,
    isAlive: false,
  });
  const led = add(plan, {
    method: chance.oneOf(["film", "score"]),
    operations: [
      silent(progressTimeoutMs + chance.between(1, afterMs + 1_000)),
      { kind: "progress" },
      silent(progressTimeoutMs),
    ],
    policy: { progressTimeoutMs },
    callers: [{ atMs: chance.between(0, 60_000) }],
  });
  return { ...led, server: { ...led.server, probes: { afterMs, isFailing: chance.happens(0.3) } } };
}

/** Many retries want the tokens of a budget half of which is less than one. */
function halfToken(chance: Chance, plan: Plan): Plan {
  const atMs = chance.between(0, 60_000);
  const led = add(plan, {
    method: chance.oneOf(methodNames),
    operations: [unavailable(9)],
    policy: { retry: soon(chance, 5) },
    callers: chance.many(chance.between(2, 4), () => ({
      as: chance.oneOf(principalNames),
      how: "started",
      atMs: atMs + chance.between(0, 1_000),
    })),
  });
  return {
    ...led,
    server: {
      ...led.server,
      retryBudget: { maxTokens: 1, tokenRatio: 0.5, tokenIntervalMs: chance.around(2_000, 10_000) },
    },
  };
}

/** The journal refuses what a run with a child appends, at about the time when its caller leaves. */
function refusedEnd(chance: Chance, plan: Plan): Plan {
  const method = chance.oneOf(methodNames);
  const child = plan.works.length + 1;
  const patienceMs = chance.around(500, 5_000);
  const led = add(plan, {
    method,
    operations: [{ kind: "child", name: "child-led", work: child }],
    // The first of all.
    callers: [{ visits: [{ afterMs: 0, patienceMs }] }],
  });
  const { remotes } = led.server;
  return {
    ...led,
    works: [...led.works, { method, operations: [{ kind: "wait", forMs: patienceMs * 2 }] }],
    // Where endpoints elsewhere do all the work, there are no children.
    server: { ...led.server, ...(remotes && { remotes: { ...remotes, besideOwn: true } }) },
    // Nothing else: what comes first would shift the count. The first two appends are those by which parent and child come to
    // know each other.
    faults: [{ kind: "refusal", isOfFamily: true, atAppend: chance.oneOf([3, 3, 3, 4, 5]) }],
  };
}

/** The journal refuses what a fallback, or the run that it stands in for, appends at its end. */
function refusedAnswer(chance: Chance, plan: Plan): Plan {
  const [method, standsIn] = chance.oneOf([
    ["paint", "film"],
    ["print", "score"],
    ["film", "score"],
  ] as const);
  const led = add(plan, {
    method,
    operations: [
      { ...unavailable(9), sparesFallbacks: true },
      { kind: "wait", forMs: chance.between(1_000, 5_000) },
    ],
    policy: { retry: soon(chance, 1), fallbacks: [standsIn] },
    callers: [{ how: "started" }],
  });
  return {
    ...led,
    faults: [...led.faults, { kind: "refusal", isOfFamily: true, atAppend: chance.oneOf([3, 3, 3, 4, 5]) }],
  };
}

/** The server is to stop while a back-end recovers, and nothing else is going on. */
function haltedRecovery(chance: Chance, plan: Plan): Plan {
  const action = chance.oneOf(actionNames);
  const led = add(plan, {
    method: chance.oneOf(methodNames),
    operations: [unavailable(1)],
    policy: {
      retry: soon(chance, 3),
      recovery: [{ action, isForMemory: false, timeoutMs: 10_000, cooldownMs: 0 }],
    },
    callers: [{ how: "started" }],
  });
  return {
    ...led,
    server: {
      ...led.server,
      recoveries: { ...led.server.recoveries, [action]: { is: "done", forMs: chance.between(2_000, 9_000) } },
    },
    faults: [
      ...led.faults,
      {
        kind: "halt",
        atRecovery: 1,
        drainMs: chance.between(1_000, 20_000),
        downMs: chance.around(10, 30_000),
      },
    ],
  };
}
