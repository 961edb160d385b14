import { describe, expect, it } from "vitest";
import { drawPlan } from "./plan/draw-plan.ts";
import { leaveOut, partsOf } from "./plan/parts.ts";
import { shrink } from "./shrink.ts";
import { simulate } from "./simulate.ts";
import { assert, type Invariant } from "./world/witness.ts";

const letters = Array.from({ length: 20 }, (_, index) => String.fromCharCode(97 + index));

describe("shrink", () => {
  it("leaves what it takes to fail, and nothing else", async () => {
    const without = await shrink(letters, async (tried) => !tried.has("c") && !tried.has("q"));
    expect(letters.filter((letter) => !without.has(letter))).toEqual(["c", "q"]);
  });

  it("leaves nothing where nothing is needed, and everything where all of it is", async () => {
    expect((await shrink(letters, async () => true)).size).toBe(letters.length);
    expect((await shrink(letters, async (tried) => tried.size === 0)).size).toBe(0);
  });

  it("gives up after some tries", async () => {
    let tries = 0;
    const many = Array.from({ length: 2_000 }, (_, index) => String(index));
    await shrink(many, async () => {
      tries += 1;
      return false;
    });
    expect(tries).toBe(250);
  });
});

describe("the parts of a plan", () => {
  it("can each be left out alone, and all together", () => {
    for (const seed of [1, 2, 3]) {
      const plan = drawPlan(seed);
      const parts = partsOf(plan);
      expect(new Set(parts).size).toBe(parts.length);
      for (const part of parts) {
        // Visits go with their caller.
        const left = parts.filter((other) => other !== part && !other.startsWith(`${part}.`));
        expect(partsOf(leaveOut(plan, new Set([part])))).toHaveLength(left.length);
      }
      expect(partsOf(leaveOut(plan, new Set(parts)))).toEqual([]);
    }
  });

  it("come down to the caller whose run it is about", { timeout: 60_000 }, async () => {
    const noStep: Invariant = {
      name: "nobody executes a step",
      witness: () => ({ stepped: ({ runId }) => assert(false, `run ${runId} does`) }),
    };
    const plan = drawPlan(3);
    const fails = async (without: ReadonlySet<string>): Promise<boolean> =>
      (await simulate(leaveOut(plan, without), [noStep])).finding?.invariant === noStep.name;
    const parts = partsOf(plan);
    expect(await fails(new Set())).toBe(true);
    const without = await shrink(parts, fails);
    const left = parts.filter((part) => !without.has(part));
    // The caller, and the work down to the step: each of it needed, and nothing else.
    expect(left.filter((part) => /^caller-\d$/.test(part))).toHaveLength(1);
    expect(left.filter((part) => /^work-\d\.\d$/.test(part))).toHaveLength(left.length - 1);
    expect(left.length).toBeLessThan(5);
    for (const part of left) expect(await fails(new Set([...without, part]))).toBe(false);
  });
});
