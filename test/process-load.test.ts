import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createSystemLoad, noLoad } from "../src/process-load.ts";

/** Keeps the event loop busy in pieces of that length. */
async function work(pieceMs: number, totalMs: number): Promise<void> {
  const endMs = performance.now() + totalMs;
  while (performance.now() < endMs) {
    const pieceEndMs = performance.now() + pieceMs;
    while (performance.now() < pieceEndMs);
    await sleep(0);
  }
}

describe("the load of this process", () => {
  it("tells how late the event loop is, each time since it was read last", async () => {
    const load = createSystemLoad();
    load.start();
    try {
      await work(150, 450);
      const busyMs = load.read().eventLoopDelayMs;

      expect(busyMs).toBeGreaterThan(80);
      // The machine itself may be late, but not each time.
      await expect.poll(() => load.read().eventLoopDelayMs, { interval: 150 }).toBeLessThan(busyMs / 2);
    } finally {
      load.stop();
    }
  });

  it("tells nothing of a time in which it did not measure", async () => {
    const load = createSystemLoad();
    load.start();
    load.stop();
    await work(60, 120);

    expect(load.read().eventLoopDelayMs).toBe(0);
  });

  it("grows with the memory that is in use", () => {
    const load = createSystemLoad();
    const before = load.read().memoryShare;
    const held = Buffer.alloc(256 * 1024 * 1024, 1);
    const after = load.read().memoryShare;

    expect(held).toHaveLength(256 * 1024 * 1024);
    expect(before).toBeGreaterThan(0);
    expect(after).toBeGreaterThan(before);
    expect(after).toBeLessThan(1);
  });

  it("is none for a server on a clock that is not the machine's", () => {
    expect(noLoad.read()).toEqual({ eventLoopDelayMs: 0, memoryShare: 0 });
  });
});
