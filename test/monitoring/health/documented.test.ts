import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { HealthComponent } from "../../../gen/retake/v1/status_pb.js";
import { components } from "../../../src/monitoring/health/health-components.ts";
import type { HealthFacts } from "../../../src/monitoring/health/health-facts.ts";
import { assessHealth } from "../../../src/monitoring/health/health-score.ts";

const units: Readonly<Record<string, number>> = { "%": 0.01, ms: 0.001, s: 1, points: 1, "": 1 };

/** What has to be the case for a component to be looked at with this number. */
const factsOf: Readonly<Record<keyof typeof HealthComponent & string, (value: number) => HealthFacts>> = {
  HEALTH_COMPONENT_UNSPECIFIED: () => ({}),
  JOURNAL: (value: number) => ({ journal: { available: true, error: "", p99CommitSeconds: value } }),
  DISK: (value: number) => ({ disk: { freeBytes: 1e6 * (1 - value), sizeBytes: 1e6 } }),
  MEMORY: (value: number) => ({ memory: { of: "heap", usedBytes: 1e6 * value, limitBytes: 1e6 } }),
  EVENT_LOOP: (value: number) => ({ eventLoopDelaySeconds: value }),
  FAILURES: (value: number) => ({ ended: { runs: 100, failed: 100 * value } }),
  LATENCY: (value: number) => ({ slowest: { workflow: "film", part: 0.95, seconds: 10 * value, usualSeconds: 9 } }),
  QUEUE: (value: number) => ({ waiting: { workflow: "film", seconds: 60 * value, timeoutSeconds: 60 } }),
  BACKENDS: (value: number) => ({
    breakers: { count: 10, open: Array(Math.round(10 * value)).fill("a"), halfOpen: [] },
  }),
  QUALITY: (value: number) => ({ quality: { workflows: 1, reduced: new Map([["film", 4 * value]]) } }),
  ALERTS: (value: number) => ({ alerts: { critical: 0, warning: value / 10 } }),
} as never;

it("docs/health.md has the weights, floors and points of every component", () => {
  const text = readFileSync(join(import.meta.dirname, "../../../docs/health.md"), "utf8");
  const rows = text.split("\n").flatMap((line) => {
    const [, name = "", weight, floor, , points = ""] = line.split("|").map((cell) => cell.trim());
    return /^[A-Z_]+$/.test(name) ? [{ name, weight: Number(weight), floor: Number(floor), points }] : [];
  });
  expect(rows.map(({ name, weight, floor }) => [name, weight, floor])).toEqual(
    components.map(({ component, weight, floor }) => [HealthComponent[component], weight, floor]),
  );
  for (const { name, points } of rows) {
    const told = points.split(", ").map((point) => /^([\d.]+) ?(\S*?)(?: points)?: (\d+)$/.exec(point));
    expect(told.length).toBeGreaterThan(1);
    for (const [i, match] of told.entries()) {
      const [, value = "", unit = "", score] = match ?? [];
      const facts = factsOf[name as keyof typeof HealthComponent](Number(value) * (units[unit] ?? Number.NaN));
      const assessed = assessHealth(facts).components.find(({ component }) => HealthComponent[component] === name);
      expect([name, i, assessed?.score]).toEqual([name, i, Number(score)]);
    }
  }
});
