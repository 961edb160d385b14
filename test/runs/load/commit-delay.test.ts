import { describe, expect, it } from "vitest";
import { CommitDelay } from "../../../src/runs/load/commit-delay.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

describe("CommitDelay", () => {
  it("tells how long the journal took when it was asked last, and asks again", async () => {
    const clock = createVirtualClock();
    let takesMs = 30;
    const flush = () => new Promise<void>((resolve) => clock.setTimeout(resolve, takesMs));
    const delay = new CommitDelay({ flush }, clock);
    expect(delay.read()).toBe(0);
    await clock.advance(100);
    takesMs = 70;
    expect(delay.read()).toBe(30);
    await clock.advance(100);

    expect(delay.read()).toBe(70);
  });

  it("tells how long it has been waiting for a journal that does not answer, asking no more", async () => {
    const clock = createVirtualClock();
    const asked = Promise.withResolvers<void>();
    let times = 0;
    const flush = () => {
      times++;
      return asked.promise;
    };
    const delay = new CommitDelay({ flush }, clock);
    delay.read();
    await clock.advance(5_000);
    expect(delay.read()).toBe(5_000);
    await clock.advance(1_000);
    expect(delay.read()).toBe(6_000);
    asked.resolve();
    await clock.advance(0);

    expect(delay.read()).toBe(6_000);
    expect(times).toBe(2);
  });

  it("bears a journal that is closed", async () => {
    const clock = createVirtualClock();
    const delay = new CommitDelay({ flush: () => Promise.reject(new Error("closed")) }, clock);
    delay.read();
    await clock.advance(10);

    expect(delay.read()).toBe(0);
  });
});
