import { expect, it } from "vitest";
import type { Workflow } from "../../../src/contract/index.ts";
import { Breakers, type BreakerTransition } from "../../../src/runs/breakers/breakers.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createSeededRandom, createVirtualClock } from "../../../src/testing/index.ts";
import { policy } from "./breaker-harness.ts";

const workflow = { name: "a.B/C", policy: { circuitBreaker: policy } } as unknown as Workflow;

it("tells of each transition, whoever has brought it about", async () => {
  const clock = createVirtualClock();
  const told: BreakerTransition[] = [];
  const breakers = new Breakers({
    journal: createMemoryStorage({ clock }).journal,
    scheduler: { wake: () => undefined },
    clock,
    random: createSeededRandom(1),
    log: silentLogger,
    backendOf: () => "gpu:1",
    onTransition: (transition) => told.push(transition),
  });
  await breakers.open([workflow]);
  breakers.start();
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
