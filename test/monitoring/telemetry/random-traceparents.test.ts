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

it("makes no id of nothing but zeroes, which is none", () => {
  const traceparents = new RandomTraceparents({ next: () => 0, fill: (bytes) => void bytes.fill(0) });
  for (let count = 0; count < 1_000; count++) {
    expect(traceparents.next()).toBe(`00-01${"00".repeat(15)}-01${"00".repeat(7)}-00`);
  }
});
