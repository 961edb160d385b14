import { expect, it } from "vitest";
import { systemRandom } from "../../../src/clock.ts";
import { RandomTraceparents } from "../../../src/monitoring/telemetry/random-traceparents.ts";

it("makes traceparents of traces that nobody keeps, each of another trace and span", () => {
  const traceparents = new RandomTraceparents(systemRandom);
  const all = Array.from({ length: 2_000 }, () => traceparents.next().split("-"));
  expect(all.every((parts) => /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/.test(parts.join("-")))).toBe(true);
  expect(new Set(all.map(([, traceId]) => traceId)).size).toBe(2_000);
  expect(new Set(all.map(([, , spanId]) => spanId)).size).toBe(2_000);
});

it.each([
  ["a trace", 0, 16],
  ["a span", 16, 24],
])("leaves out what is no id of %s: nothing but zeroes", (_, from, to) => {
  const traceparents = new RandomTraceparents({
    next: () => 0,
    fill: (bytes) =>
      void bytes
        .fill(7)
        .fill(0, from, to)
        .fill(0, 24 + from, 24 + to),
  });
  expect(traceparents.next()).toBe(`00-${"07".repeat(16)}-${"07".repeat(8)}-00`);
});
