import { expect, it } from "vitest";
import { OpenStreams } from "../../../src/interceptors/rpc/open-streams.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

it("open streams are ended within a second of the end of their credentials, and leave no timer behind", async () => {
  const clock = createVirtualClock();
  const streams = new OpenStreams(clock);
  const start = clock.monotonic();
  const open = [1500, 4500].map((untilMs) => ({
    endedMs: undefined as number | undefined,
    check() {
      const sinceMs = clock.monotonic() - start;
      if (sinceMs < untilMs) return;
      this.endedMs ??= sinceMs;
      streams.delete(this);
    },
  }));
  for (const stream of open) streams.add(stream);
  await clock.advance(10_000);
  expect(open.map(({ endedMs }) => endedMs)).toEqual([2000, 5000]);
  expect(clock.pendingTimers).toBe(0);
});
