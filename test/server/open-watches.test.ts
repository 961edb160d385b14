import { expect, it } from "vitest";
import { OpenWatches } from "../../src/server/open-watches.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

it("open watches are ended within a second of the end of their credentials, and leave no timer behind", async () => {
  const clock = createVirtualClock();
  const watches = new OpenWatches(clock);
  const open = [1500, 4500].map((untilMs) => {
    const watch = {
      endedMs: undefined as number | undefined,
      isAllowed: () => clock.monotonic() < start + untilMs,
      end() {
        this.endedMs ??= clock.monotonic() - start;
        watches.delete(this);
      },
    };
    return watch;
  });
  const start = clock.monotonic();
  for (const watch of open) watches.add(watch);
  await clock.advance(10_000);
  expect(open.map(({ endedMs }) => endedMs)).toEqual([2000, 5000]);
  expect(clock.pendingTimers).toBe(0);
});
