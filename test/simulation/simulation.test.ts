import { createHook } from "node:async_hooks";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { explain } from "./explain.ts";
import { fewestSeeds } from "./fewest-seeds.ts";
import { drawPlan } from "./plan/draw-plan.ts";
import { simulate } from "./simulate.ts";

/** As many seeds as that holds; `npm run simulate` takes more. */
const minuteMs = 60_000;
/** Among which every event is to be found. */
const mostSeeds = 600;
const events: readonly string[] = [
  "accepted",
  "attemptCheckpoint",
  "attemptFailed",
  "attemptStarted",
  "cancelRequested",
  "cancelled",
  "childEnded",
  "childStarted",
  "expired",
  "failed",
  "fallbackEnded",
  "fallbackSkipped",
  "fallbackStarted",
  "faultInjected",
  "orphaned",
  "parked",
  "progressSampled",
  "recoveryActed",
  "rejoined",
  "retryScheduled",
  "stepCompleted",
  "succeeded",
  "updateRecorded",
  "woken",
];

describe("a simulated server", () => {
  const seen = new Set<string>();
  const keeps = async (seed: number): Promise<void> => {
    const report = await simulate(drawPlan(seed));
    if (report.finding !== undefined) expect.fail(await explain(seed, report));
    for (const { events } of report.history.values()) {
      for (const { event } of events) seen.add(event.case ?? "");
    }
  };

  let seed = 1;

  it("keeps its promises with as many seeds as a minute holds", { timeout: 300_000 }, async () => {
    const endMs = performance.now() + minuteMs;
    for (; seed <= fewestSeeds || performance.now() < endMs; seed++) await keeps(seed);
  });

  it("comes into every state that there is", { timeout: 120_000 }, async () => {
    // What few seeds come to is not among those above on every machine, nor after every change of what seeds mean.
    for (; seed <= mostSeeds && events.some((each) => !seen.has(each)); seed++) await keeps(seed);
    expect([...seen].sort()).toEqual(events);
  });
});

describe("a seed", () => {
  const from = 1_001;
  const src = join(import.meta.dirname, "..", "..", "src");

  it("gives the same journals again, byte for byte, in another process too", { timeout: 60_000 }, async () => {
    const digests: string[] = [];
    for (let seed = from; seed < from + 10; seed++) {
      const { digest } = await simulate(drawPlan(seed));
      expect((await simulate(drawPlan(seed))).digest).toBe(digest);
      digests.push(`${seed} ${digest}`);
    }
    const main = join(import.meta.dirname, "main.ts");
    const args = ["--conditions=retake-source", main, "--from", String(from), "--seeds", "10", "--digests"];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout.split("\n").slice(0, 10)).toEqual(digests);
    expect(new Set(digests.map((line) => line.split(" ")[1])).size).toBe(10);
  });

  it("waits for nothing that takes real time, which would be another one each time", async () => {
    // Modules that are loaded when they are first needed.
    await simulate(drawPlan(from));
    const waits: string[] = [];
    const hook = createHook({
      init(_id, type, _trigger, resource: { readonly _idleTimeout?: number }) {
        // opossum sets a timer when it opens, and clears it at once; `settled` waits for an immediate.
        if (type === "PROMISE" || type === "Immediate" || resource._idleTimeout === 2 ** 31 - 1) {
          return;
        }
        const { stack = "" } = new Error(type);
        if (stack.includes(src)) {
          waits.push(stack);
        }
      },
    });
    hook.enable();
    for (let seed = from + 1; seed < from + 10; seed++) {
      await simulate(drawPlan(seed));
    }
    hook.disable();
    expect(waits).toEqual([]);
  });
});
