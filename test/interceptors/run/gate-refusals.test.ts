import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { gate } from "../../../src/interceptors/run/index.ts";
import { createFailure, type Gates, type Outcome, type RunRequest, type Turn } from "../../../src/runs/index.ts";
import { RetryBudget } from "../../../src/runs/retry-budget.ts";
import { createBreaker } from "../../runs/breakers/breaker-harness.ts";

/** A gate with room, a breaker and a budget of two tokens, and what has been asked of the permits. */
function create() {
  const harness = createBreaker({ policy: { volumeThreshold: 1, errorThresholdPercentage: 1 } });
  const budget = new RetryBudget(
    { maxTokens: 2, tokenRatio: 1, tokenIntervalMs: 1000 },
    harness.clock,
    () => undefined,
  );
  const asked: string[] = [];
  let onAcquire = (): void => undefined;
  const gates: Gates = {
    acquire: ({ runId }) => {
      asked.push("acquire");
      onAcquire();
      return { kind: "permit", runId, endpoint: "" };
    },
    release: () => asked.push("release"),
    withdraw: () => asked.push("withdraw"),
    setSlots: () => undefined,
    place: () => undefined,
    holders: () => [],
    waiting: () => 0,
    isFull: () => false,
  };
  const run = {
    accepted: { runId: "run", priority: 0 },
    createTimeMs: 0,
    countedFailures: 0,
    attempts: 0,
    fallbacks: [],
  };
  const turn = { pausables: [], abortReason: undefined } as unknown as Turn;
  const request = {
    run,
    workflow: { name: "a.B/C", policy: { concurrency: { limit: 5 }, fallbacks: [] } },
    turn,
  } as unknown as RunRequest;
  const stage = gate({
    gates,
    pauses: { of: () => undefined, keeps: () => false },
    breakers: { of: () => harness.breaker, withdraw: () => undefined },
    retryBudgets: { of: () => budget, withdraw: () => undefined },
    concurrencyLimit: 10,
    endpoints: () => [],
    workflow: () => undefined,
  });
  const failed =
    (attempt = true) =>
    async (): Promise<Outcome> => {
      if (attempt) run.attempts++;
      return { kind: "failed", failure: createFailure({ code: Code.Unavailable, reason: "X", message: "" }) };
    };
  return {
    ...harness,
    budget,
    asked,
    run,
    onAcquire: (callback: () => void) => {
      onAcquire = callback;
    },
    enter: (next: () => Promise<Outcome>) => stage(next)(request),
    failed,
  };
}

const never = () => Promise.reject(new Error("it was let through"));
const open = { open: true, requestedBy: "ana", reason: "", untilMs: undefined };

it("does not ask for a permit while the breaker is open, and gives up a place in line", async () => {
  const { breaker, asked, enter } = create();
  breaker.force({ ...open, untilMs: 9e15 });
  expect(await enter(never)).toMatchObject({ kind: "blocked", gate: "breaker", notBeforeMs: 9e15 });
  expect(asked).toEqual(["withdraw"]);
});

it("gives the permit back when the breaker has opened meanwhile", async () => {
  const { breaker, asked, enter, onAcquire } = create();
  onAcquire(() => breaker.force(open));
  expect(await enter(never)).toMatchObject({ kind: "blocked", gate: "breaker" });
  expect(asked).toEqual(["acquire", "release"]);
});

it("parks a newcomer behind those that go in waves, whatever on_open says", async () => {
  const { breaker, enter } = create();
  breaker.force(open);
  breaker.hold("a", 0, -2);
  breaker.hold("b", 0, -1);
  breaker.force({ ...open, open: false });
  expect(await enter(never)).toMatchObject({
    kind: "waiting",
    events: [{ case: "parked", value: { gate: "breaker" } }],
  });
  expect(breaker.position("run")).toBe(2);
});

it("tells the breaker how an attempt has ended, and nothing where none was made", async () => {
  const { enter, failed, state } = create();
  await enter(failed(false));
  expect(state()).toBe("CLOSED");
  await enter(failed());
  expect(state()).toBe("OPEN");
});

it("tells the breaker also where a stage throws", async () => {
  const { breaker, clock, trip, enter } = create();
  trip();
  await clock.advance(30_000);
  await expect(enter(never)).rejects.toThrow("it was let through");
  expect(breaker.refusal("next")).toBeUndefined();
});

it("has retries wait for the budget, and first attempts not", async () => {
  const { breaker, asked, run, enter, failed } = create();
  breaker.force({ ...open, open: false });
  await enter(failed());
  await enter(failed());
  run.countedFailures = 1;
  expect(await enter(never)).toMatchObject({ kind: "blocked", gate: "retry_budget" });
  expect(asked.at(-1)).toBe("withdraw");
  run.countedFailures = 0;
  expect(await enter(failed())).toMatchObject({ kind: "failed" });
});

it("lets a trial go that is a retry, also when its back-end has no retries left", async () => {
  const { breaker, budget, clock, trip, run, enter, failed, state } = create();
  trip();
  await clock.advance(30_000);
  for (let n = 0; n < 4; n++) budget.settle(`other ${n}`, "failure");
  expect(budget.admit("another")).toBe(false);
  run.countedFailures = 1;
  const trial = async (): Promise<Outcome> => {
    run.attempts++;
    return { kind: "failed", failure: createFailure({ code: Code.InvalidArgument, reason: "X", message: "" }) };
  };
  expect(await enter(trial)).toMatchObject({ kind: "failed" });
  expect(state()).toBe("HALF_OPEN");
  // What is no trial waits for the budget still.
  breaker.force({ ...open, open: false });
  expect(await enter(failed())).toMatchObject({ kind: "blocked", gate: "retry_budget" });
});
