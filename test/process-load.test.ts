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
      const calmShare = async (): Promise<number> => {
        // So much longer that it would still be seen if it counted twice.
        await work(150, 900);
        const busyMs = load.read().eventLoopDelayMs;
        expect(busyMs).toBeGreaterThan(80);
        await sleep(60);
        return load.read().eventLoopDelayMs / busyMs;
      };
      // The machine itself may be late, but not each time.
      await expect.poll(calmShare).toBeLessThan(0.5);
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
