import { expect, it } from "vitest";
import { BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import type { Workflow } from "../../../src/contract/index.ts";
import type { Verdict } from "../../../src/runs/breakers/breaker.ts";
import { Breakers, type BreakerTransition } from "../../../src/runs/breakers/breakers.ts";
import { type Journal, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createSeededRandom, createVirtualClock, type VirtualClock } from "../../../src/testing/index.ts";
import { policy } from "./breaker-harness.ts";

const workflow = { name: "a.B/C", policy: { circuitBreaker: policy } } as unknown as Workflow;

interface Scene {
  readonly clock?: VirtualClock;
  readonly journal?: Journal;
  readonly workflow?: Workflow;
}

/** The breakers of a server that has just started. */
async function start({ clock = createVirtualClock(), journal, workflow: own = workflow }: Scene = {}) {
  const told: BreakerTransition[] = [];
  const stored = journal ?? createMemoryStorage({ clock }).journal;
  const breakers = new Breakers({
    journal: stored,
    scheduler: { wake: () => undefined },
    clock,
    random: createSeededRandom(1),
    log: silentLogger,
    backendOf: () => "gpu:1",
    onTransition: (transition) => told.push(transition),
  });
  await breakers.open([own]);
  breakers.start();
  return { breakers, clock, told, journal: stored };
}

it("tells of each transition, whoever has brought it about", async () => {
  const { breakers, clock, told } = await start();
  for (let attempt = 0; attempt < policy.volumeThreshold; attempt++) {
    breakers.of(workflow)?.settle(`run ${attempt}`, 0, "failure");
  }
  await clock.advance(policy.resetTimeoutMs);
  const forced = breakers.force(
    workflow,
    { open: false, requestedBy: "ana", reason: "", untilMs: undefined },
    "ana",
    "",
  );
  await clock.advance(0);
  await forced;
  expect(told.map(({ event }) => event.event.case)).toEqual(["opened", "halfOpened", "forced"]);
  expect(told[2]).toMatchObject({ workflow: "a.B/C", event: { backend: "gpu:1", generation: 3n, requestedBy: "ana" } });
  await breakers.stop();
});

it("goes on over restarts with the trials that have succeeded, which are no transitions", async () => {
  const clock = createVirtualClock();
  const trying = { ...workflow, policy: { circuitBreaker: { ...policy, successThreshold: 14 } } } as Workflow;
  const first = await start({ clock, workflow: trying });
  const attempt = ({ breakers }: Pick<typeof first, "breakers">, verdict: Verdict): void => {
    const breaker = breakers.of(trying);
    expect(breaker?.refusal("run")).toBeUndefined();
    breaker?.settle("run", breaker.generation, verdict);
  };
  for (let failures = 0; failures < policy.volumeThreshold; failures++) attempt(first, "failure");
  await clock.advance(policy.resetTimeoutMs);
  for (let trials = 0; trials < 12; trials++) attempt(first, "success");
  await first.breakers.stop();

  const second = await start({ clock, workflow: trying, journal: first.journal });
  expect(second.breakers.of(trying)?.trialSuccesses).toBe(12);
  attempt(second, "success");
  await second.breakers.stop();
  const third = await start({ clock, workflow: trying, journal: first.journal });
  attempt(third, "success");
  expect(third.breakers.of(trying)?.state).toBe(BreakerState.CLOSED);
  expect(third.breakers.look(trying)?.transitions.map(({ event, generation }) => [event.case, generation])).toEqual([
    ["closed", 3n],
    ["halfOpened", 2n],
    ["opened", 1n],
  ]);
  expect([first, second, third].map(({ told }) => told.length)).toEqual([2, 0, 1]);
  await third.breakers.stop();
});

it("counts trials anew when the one before has failed", async () => {
  const clock = createVirtualClock();
  const trying = { ...workflow, policy: { circuitBreaker: { ...policy, successThreshold: 3 } } } as Workflow;
  const first = await start({ clock, workflow: trying });
  const breaker = first.breakers.of(trying);
  for (let failures = 0; failures < policy.volumeThreshold; failures++) breaker?.settle("run", 0, "failure");
  await clock.advance(policy.resetTimeoutMs);
  breaker?.settle("run", breaker.generation, "success");
  breaker?.settle("run", breaker.generation, "failure");
  await clock.advance(policy.resetTimeoutMs);
  await first.breakers.stop();
  const second = await start({ clock, workflow: trying, journal: first.journal });
  expect(second.breakers.of(trying)).toMatchObject({ state: BreakerState.HALF_OPEN, trialSuccesses: 0 });
  await second.breakers.stop();
});
