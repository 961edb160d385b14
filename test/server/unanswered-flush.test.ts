import { expect, it } from "vitest";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { UnansweredFlush } from "../../src/server/unanswered-flush.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

it("tells for how long the journal has not answered, and that it does again", async () => {
  const clock = createVirtualClock();
  let hang: Promise<void> | undefined;
  const { journal } = createMemoryStorage({ clock, durable: async () => hang });
  const unanswered = new UnansweredFlush(journal, clock);
  const append = (expectedSequence: number) =>
    journal.append([{ stream: "some/stream", expectedSequence, records: [new Uint8Array(1)] }]);
  const after = async (ms: number): Promise<number> => {
    await clock.advance(ms);
    return unanswered.readMs();
  };
  await append(0);
  expect([await after(10_000), await after(10_000)]).toEqual([0, 0]);
  const { promise, resolve } = Promise.withResolvers<void>();
  hang = promise;
  const appended = append(1);
  expect([await after(10_000), await after(10_000), await after(3_000)]).toEqual([0, 10_000, 13_000]);
  resolve();
  await appended;
  expect([await after(10_000), await after(10_000)]).toEqual([0, 0]);
});
