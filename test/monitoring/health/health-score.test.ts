import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HealthComponent, HealthLevel } from "../../../gen/retake/v1/status_pb.js";
import { components } from "../../../src/monitoring/health/health-components.ts";
import type { HealthFacts } from "../../../src/monitoring/health/health-facts.ts";
import { assessHealth } from "../../../src/monitoring/health/health-score.ts";

const gib = 2 ** 30;

const well = {
  journal: { available: true, error: "", p99CommitSeconds: 0.003 },
  disk: { freeBytes: 60 * gib, sizeBytes: 100 * gib },
  memory: { of: "process", usedBytes: gib, limitBytes: 4 * gib },
  eventLoopDelaySeconds: 0.002,
  ended: { runs: 100, failed: 0 },
  slowest: { workflow: "film", part: 0.95, seconds: 10, usualSeconds: 10 },
  waiting: null,
  breakers: { count: 4, open: [], halfOpen: [] },
  quality: { workflows: 4, reduced: new Map() },
  alerts: { critical: 0, warning: 0 },
} satisfies HealthFacts;

function of(facts: Partial<HealthFacts>) {
  return assessHealth({ ...well, ...facts });
}

/** Numbers that are the worse the larger they are; everything else about a server follows from them. */
const badness = fc.record({
  unavailable: fc.boolean().map(Number),
  commit: fc.double({ min: 0, max: 20, noNaN: true }),
  unanswered: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 20, noNaN: true })),
  diskUse: fc.double({ min: 0, max: 1, noNaN: true }),
  memoryUse: fc.double({ min: 0, max: 1.2, noNaN: true }),
  delay: fc.double({ min: 0, max: 10, noNaN: true }),
  failed: fc.nat(200),
  slowness: fc.double({ min: 0, max: 200, noNaN: true }),
  waited: fc.double({ min: 0, max: 7200, noNaN: true }),
  open: fc.nat(4),
  halfOpen: fc.nat(4),
  reduced: fc.nat(4),
  critical: fc.nat(5),
  warning: fc.nat(10),
});
type Badness = typeof badness extends fc.Arbitrary<infer T> ? T : never;
const names = ["diskUse", "memoryUse", "commit", "unanswered", "delay", "failed", "slowness", "waited"] as const;
const counted = ["unavailable", "open", "halfOpen", "reduced", "critical", "warning"] as const;

function factsOf(bad: Badness, succeeded: number, absent: readonly (keyof HealthFacts)[]): HealthFacts {
  const facts: HealthFacts = {
    journal: {
      ...{ available: bad.unavailable === 0, error: "the disk is full" },
      ...{ p99CommitSeconds: bad.commit, unansweredSeconds: bad.unanswered },
    },
    disk: { freeBytes: (1 - bad.diskUse) * gib, sizeBytes: gib },
    memory: { of: "heap", usedBytes: bad.memoryUse * gib, limitBytes: gib },
    eventLoopDelaySeconds: bad.delay,
    ended: { runs: succeeded + bad.failed, failed: bad.failed },
    slowest: { workflow: "film", part: 0.95, seconds: bad.slowness, usualSeconds: 5 },
    waiting: { workflow: "film", seconds: bad.waited, timeoutSeconds: 3600 },
    breakers: { count: 10, open: Array(bad.open).fill("a"), halfOpen: Array(bad.halfOpen).fill("b") },
    quality: { workflows: 3, reduced: new Map([["film", bad.reduced]]) },
    alerts: { critical: bad.critical, warning: bad.warning },
  };
  return Object.fromEntries(Object.entries(facts).filter(([name]) => !absent.includes(name as keyof HealthFacts)));
}

const absent = fc.subarray(Object.keys(well) as (keyof HealthFacts)[], { maxLength: 4 });

describe("assessHealth", () => {
  it("gives 100 to a server that is well, and weights that add up to 100", () => {
    const { score, level, explanation } = of({});
    expect([score, level, explanation]).toEqual([100, HealthLevel.GOOD, "All is well."]);
    expect(components.reduce((sum, { weight }) => sum + weight, 0)).toBe(100);
    expect(components.map(({ component }) => component)).toEqual(
      Object.values(HealthComponent).filter((value) => typeof value === "number" && value > 0),
    );
  });

  it("takes the weight of what is missing", () => {
    const {
      score,
      components: told,
      explanation,
    } = of({ ended: { runs: 100, failed: 10 }, alerts: { critical: 0, warning: 1 } });
    const deductions = told.flatMap(({ component, deduction }) => (deduction > 0 ? [[component, deduction]] : []));
    // 20 % of 20, and 10 % of 5 rounded up.
    expect(deductions).toEqual([
      [HealthComponent.FAILURES, 4],
      [HealthComponent.ALERTS, 1],
    ]);
    expect(score).toBe(95);
    expect(explanation).toMatch(/^4 of the 5 points that are missing: Of 100 runs/);
    expect(of({ ended: { runs: 100, failed: 10 } }).explanation).toMatch(/^Of 100 runs/);
  });

  it("gives no more than the worst component allows, and has that one pay for it", () => {
    const {
      score,
      limitedBy,
      components: told,
      explanation,
    } = of({
      journal: { available: false, error: "ENOSPC: no space left on device" },
    });
    expect([score, limitedBy]).toEqual([10, HealthComponent.JOURNAL]);
    expect(told[0]).toMatchObject({ score: 0, limit: 10, deduction: 90, level: HealthLevel.POOR });
    expect(explanation).toContain("ENOSPC: no space left on device");
  });

  it("takes nothing for what is not known, and gives no score where that is most of it", () => {
    const { disk: _, slowest: __, ...known } = well;
    const some = assessHealth(known);
    expect(some.score).toBe(100);
    expect(some.components.find(({ component }) => component === HealthComponent.DISK)).toEqual({
      ...{ component: HealthComponent.DISK, weight: 10, deduction: 0, level: HealthLevel.UNKNOWN },
      explanation: "It is not measured here, or not yet.",
    });
    const little = assessHealth({ journal: well.journal });
    expect([little.score, little.level]).toEqual([undefined, HealthLevel.UNKNOWN]);
    expect(little.explanation).toBe("Too little is known yet: 1 of 10 components.");
  });

  it("sees a journal that does not answer, however quick what it has answered was", () => {
    const { components: told } = of({ journal: { ...well.journal, unansweredSeconds: 20 } });
    expect(told[0]).toMatchObject({ score: 20, explanation: "The journal has not answered for 20 s." });
  });

  it("does not make much of a few runs", () => {
    const scoreOf = (runs: number, failed: number) =>
      of({ ended: { runs, failed } }).components.find(({ component }) => component === HealthComponent.FAILURES)?.score;
    expect(scoreOf(0, 0)).toBeUndefined();
    expect(scoreOf(1, 1)).toBe(80);
    expect(scoreOf(20, 20)).toBe(0);
  });

  it("explains each component with its numbers", () => {
    const { components: told } = of({
      waiting: { workflow: "film", seconds: 900, timeoutSeconds: 3600 },
      breakers: { count: 4, open: ["film"], halfOpen: ["song"] },
      quality: { workflows: 4, reduced: new Map([["film", 2]]) },
      alerts: { critical: 1, warning: 2 },
    });
    expect(told.map(({ explanation }) => explanation)).toEqual([
      "99 % of what is journaled is durable within 3 ms.",
      "The disk has 60 GiB of 100 GiB left (60 %).",
      "The process takes 1.0 GiB of 4.0 GiB (25 %).",
      "99 % of what is due is begun within 2 ms.",
      "Of 100 runs that ended in the last five minutes, 0 failed.",
      "95 % of the runs of film take up to 10 s; in the hours before it was 10 s.",
      "A run of film has waited for 15 min of the 60 min that it has.",
      "Of 4 breakers, 1 open and 1 on trial: film, song.",
      "1 of 4 workflows ask for less than they could: film.",
      "1 critical alert and 2 warnings fire.",
    ]);
  });

  it("adds up to the point, whatever is the case", () => {
    fc.assert(
      fc.property(badness, fc.nat(200), absent, (bad, succeeded, missing) => {
        const { score, components: told } = assessHealth(factsOf(bad, succeeded, missing));
        const deducted = told.reduce((sum, { deduction }) => sum + deduction, 0);
        if (score !== undefined) expect(100 - deducted).toBe(score);
        for (const { deduction, weight, score: own, limit } of told) {
          expect(Number.isInteger(deduction) && deduction >= 0).toBe(true);
          if (limit === undefined) expect(deduction).toBeLessThanOrEqual(weight);
          if (own === undefined || own === 100) expect(deduction).toBe(0);
          if (score !== undefined) expect(score).toBeLessThanOrEqual(limit ?? 100);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("never rises when one thing gets worse", () => {
    const worse = fc.record({
      name: fc.constantFrom(...names, ...counted),
      by: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 5000, noNaN: true })),
    });
    fc.assert(
      fc.property(badness, worse, fc.nat(200), absent, (bad, { name, by }, succeeded, missing) => {
        const whole = name === "failed" || (counted as readonly string[]).includes(name);
        const limits: Partial<Record<string, number>> = {
          unavailable: 1,
          reduced: 4,
          diskUse: 1,
          open: 6,
          halfOpen: 6,
        };
        const value = Math.min(limits[name] ?? 1e4, bad[name] + (whole ? Math.ceil(by) : by));
        const before = assessHealth(factsOf(bad, succeeded, missing));
        const after = assessHealth(factsOf({ ...bad, [name]: value }, succeeded, missing));
        expect(after.score ?? 0).toBeLessThanOrEqual(before.score ?? 100);
      }),
      { numRuns: 800 },
    );
  });
});
