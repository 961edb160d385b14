import { expect, it } from "vitest";
import { systemRandom } from "../../../src/clock.ts";
import { RandomIds } from "../../../src/monitoring/telemetry/random-ids.ts";

it("makes ids of traces and spans, each another one", () => {
  const ids = new RandomIds(systemRandom);
  const all = Array.from({ length: 500 }, (_, number) => (number % 3 === 0 ? ids.traceId() : ids.spanId()));
  expect(new Set(all).size).toBe(500);
  expect(all.every((id, number) => new RegExp(`^[0-9a-f]{${number % 3 === 0 ? 32 : 16}}$`).test(id))).toBe(true);
});

it("leaves out what is no id: nothing but zeroes", () => {
  let fills = 0;
  const ids = new RandomIds({ next: () => 0, fill: (bytes) => void bytes.fill(fills++ === 0 ? 0 : 7) });
  expect(ids.traceId()).toBe("07".repeat(16));
});
