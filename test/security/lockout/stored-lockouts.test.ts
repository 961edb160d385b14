import { describe, expect, it } from "vitest";
import { silentLogger, streamsNamed } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { Lockout } from "../../../src/security/lockout/lockout.ts";
import { StoredLockouts } from "../../../src/security/lockout/stored-lockouts.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { recordingLogger } from "../../server/listening-server.ts";

const settings = { threshold: 3, windowMs: 60_000, initialDelayMs: 10_000, maxLockoutMs: 600_000 };

function machine() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  /** A process of the server, with what the ones before have left. */
  const start = async (log = silentLogger) => {
    const lockout = new Lockout({ settings, clock });
    const stored = new StoredLockouts({ lockout, journal, clock, log });
    await stored.open();
    const fail = (peer: string, claimed?: string, times = 1) => {
      for (let time = 0; time < times; time++) lockout.failed(peer, { claimed });
    };
    return { lockout, fail, close: () => stored.close() };
  };
  const streams = async () => {
    let count = 0;
    for await (const _ of streamsNamed(journal, "lockouts/")) count++;
    return count;
  };
  return { clock, journal, start, streams };
}

describe("lock-outs", () => {
  it("outlast a restart for what is left of their time, of addresses, keys and subjects", async () => {
    const { clock, start } = machine();
    const first = await start();
    first.fail("10.0.0.1:1", "k", 3);
    first.fail("10.0.0.2:1", undefined, 2);
    for (let n = 0; n < 30; n++) first.lockout.failed(`10.0.1.${n}:1`, { proven: "ada" });
    expect(first.lockout.locked().sources).toEqual([{ name: "10.0.0.1", failures: 3, forMs: 40_000 }]);
    await clock.advance(15_000);
    await first.close();
    await clock.advance(5_000);

    const second = await start();
    expect(second.lockout.locked()).toEqual({
      sources: [{ name: "10.0.0.1", failures: 3, forMs: 20_000 }],
      keys: [{ name: "k", failures: 3, forMs: 20_000 }],
      subjects: [{ name: "ada", failures: 30, forMs: 20_000 }],
    });
    expect([second.lockout.isLocked("10.0.0.1:9"), second.lockout.isLocked("10.0.0.2:9")]).toEqual([true, false]);
    await clock.advance(20_000);
    expect(second.lockout.isLocked("10.0.0.1:9")).toBe(false);
    // What follows is twice as long as before the restart.
    expect(second.lockout.failed("10.0.0.1:9")).toMatchObject({ kind: "locked", forMs: 80_000 });
  });

  it("are there after a crash, a second after they began", async () => {
    const { clock, start } = machine();
    (await start()).fail("10.0.0.1:1", undefined, 3);
    await clock.advance(1_000);
    expect((await start()).lockout.isLocked("10.0.0.1:1")).toBe(true);
  });

  it("are stored together, however many begin at once, and leave nothing when they are over", async () => {
    const { clock, journal, start, streams } = machine();
    const { fail, close } = await start();
    let appends = 0;
    const append = journal.append.bind(journal);
    journal.append = (...args) => {
      appends++;
      return append(...args);
    };
    for (let source = 0; source < 2000; source++) fail(`10.0.${source >> 8}.${source & 255}:1`, undefined, 3);
    await clock.advance(1_000);
    expect([appends, await streams()]).toEqual([1, 1]);
    fail("10.1.0.1:1", undefined, 3);
    await clock.advance(1_000);
    expect([appends, await streams()]).toEqual([2, 1]);
    await clock.advance(60_000);
    expect([appends, await streams()]).toEqual([2, 0]);
    await close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("last no longer than the longest one, however the wall clock was set meanwhile", async () => {
    const { clock, start } = machine();
    const first = await start();
    first.fail("10.0.0.1:1", undefined, 3);
    await first.close();
    clock.jump(-86_400_000);
    const [locked] = (await start()).lockout.locked().sources;
    expect(locked?.forMs).toBe(settings.maxLockoutMs);
  });

  it("that cannot be stored are told, and hold", async () => {
    const { clock, journal, start } = machine();
    const log = recordingLogger();
    const { lockout, fail } = await start(log);
    journal.append = () => Promise.reject(new Error("the disk is full"));
    fail("10.0.0.1:1", undefined, 3);
    await clock.advance(1_000);
    expect(log.entries.map(({ message }) => message)).toEqual([
      expect.stringContaining("lock-outs could not be stored"),
    ]);
    expect(lockout.isLocked("10.0.0.1:1")).toBe(true);
  });
});
