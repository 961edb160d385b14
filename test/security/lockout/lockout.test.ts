import { describe, expect, it } from "vitest";
import { FailureCounts, type LockoutSettings } from "../../../src/security/lockout/failure-counts.ts";
import { Lockout } from "../../../src/security/lockout/lockout.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

const settings: LockoutSettings = { threshold: 4, windowMs: 60_000, initialDelayMs: 100, maxLockoutMs: 2000 };

function start(given: Partial<LockoutSettings> = {}) {
  const clock = createVirtualClock();
  const lockout = new Lockout({ settings: { ...settings, ...given }, clock });
  const fail = (peer: string, claimed?: string, proven?: string) => {
    const { kind, holdMs: _, ...rest } = lockout.failed(peer, { claimed, proven });
    return "delayMs" in rest ? rest.delayMs : `${kind} ${rest.forMs} ${rest.began ? "anew" : `with ${rest.refused}`}`;
  };
  return { clock, lockout, fail };
}

describe("a lock-out", () => {
  it("delays each failure twice as long as the one before, then locks out, up to the longest time", async () => {
    const { clock, fail } = start();
    expect([1, 2, 3, 4].map(() => fail("10.0.0.1:1"))).toEqual([100, 200, 400, "locked 800 anew"]);
    await clock.advance(300);
    expect([fail("10.0.0.1:2"), fail("10.0.0.1:3")]).toEqual(["locked 500 with 1", "locked 500 with 2"]);
    await clock.advance(500);
    expect(fail("10.0.0.1:4")).toBe("locked 1600 anew");
    await clock.advance(1600);
    expect(fail("10.0.0.1:4")).toBe("locked 2000 anew");
    await clock.advance(2000);
    expect(fail("10.0.0.1:4")).toBe("locked 2000 anew");
  });

  it("forgets failures a while after the last one, and after a lock-out has ended", async () => {
    const { clock, fail } = start();
    expect([fail("10.0.0.1:1"), fail("10.0.0.1:1")]).toEqual([100, 200]);
    await clock.advance(60_000);
    expect(fail("10.0.0.1:1")).toBe(400);
    await clock.advance(60_001);
    expect([1, 2, 3, 4].map(() => fail("10.0.0.1:1")).at(-1)).toBe("locked 800 anew");
    await clock.advance(60_801);
    expect(fail("10.0.0.1:1")).toBe(100);
  });

  it("does not let anybody out because the wall clock is set", async () => {
    const { clock, lockout, fail } = start();
    for (let n = 0; n < 4; n++) fail("10.0.0.1:1");
    clock.jump(3_600_000);
    expect([lockout.isLocked("10.0.0.1:9"), lockout.isLocked("10.0.0.2:9")]).toEqual([true, false]);
    await clock.advance(800);
    expect(lockout.isLocked("10.0.0.1:9")).toBe(false);
  });

  it("counts the id of a key over all addresses, whether there is such a key or not", () => {
    const { fail } = start();
    expect([1, 2, 3, 4].map((n) => fail(`10.0.0.${n}:1`, "k"))).toEqual([100, 200, 400, "locked 800 anew"]);
    expect(fail("10.0.0.9:1", "k")).toBe("locked 800 with 1");
    expect(fail("10.0.0.9:1", "other")).toBe(200);
  });

  it("counts a subject that is proven over all addresses, once it has failed as often as a fleet may", () => {
    const { lockout, fail } = start();
    const from = (n: number) => fail(`10.0.${n}.1:1`, undefined, "ada");
    // Nine times four more than of one address.
    for (let n = 0; n < 36; n++) expect(from(n)).toBe(100);
    expect([36, 37, 38, 39].map(from)).toEqual([100, 200, 400, "locked 800 anew"]);
    expect(from(40)).toBe("locked 800 with 1");
    expect(fail("10.0.41.1:1", undefined, "bob")).toBe(100);
    expect(lockout.locked()).toMatchObject({ sources: [], keys: [], subjects: [{ name: "ada", failures: 40 }] });
  });

  it("holds answers back for what an address has done, and not for its subject that is locked", () => {
    const { lockout, fail } = start();
    for (let n = 0; n < 40; n++) fail(`10.0.${n}.1:1`, undefined, "ada");
    const failed = () => lockout.failed("10.0.50.1:1", { proven: "ada" });
    expect(failed()).toMatchObject({ kind: "locked", by: "subject", holdMs: 100 });
    expect(failed()).toMatchObject({ by: "subject", holdMs: 200 });
    expect(failed()).toMatchObject({ by: "subject", holdMs: 400 });
    // However long the subject's lock is yet, what the address has done by itself comes first.
    for (let n = 0; n < 2; n++) expect(failed()).toMatchObject({ kind: "locked", by: "source", holdMs: 0 });
  });

  it("does not let an address that is locked out lock subjects", () => {
    const { lockout, fail } = start();
    for (let n = 0; n < 1000; n++) fail("10.0.0.1:1", undefined, "ada");
    expect(lockout.locked().subjects).toEqual([]);
  });

  it("does not let an address that is locked out lock keys", async () => {
    const { clock, fail } = start();
    for (let n = 0; n < 100; n++) fail("10.0.0.1:1", n < 4 ? `k${n}` : "victim");
    await clock.advance(0);
    expect(fail("10.0.0.2:1", "victim")).toBe(100);
  });

  it("remembers so many, those that failed last", () => {
    const counts = new FailureCounts(settings);
    for (let n = 0; n < 30_000; n++) counts.fail(`source ${n}`, 0);
    expect(counts.size).toBe(10_000);
    expect(counts.fail("source 29999", 0)).toEqual({ kind: "delayed", delayMs: 200 });
    expect(counts.fail("source 0", 0)).toEqual({ kind: "delayed", delayMs: 100 });
  });

  it("holds answers back for as long as it says, five seconds at most, and so many at once", async () => {
    const { clock, lockout } = start();
    const { signal } = new AbortController();
    const gone = new AbortController();
    const released: string[] = [];
    const hold = (name: string, ms: number, until = signal) =>
      void lockout.hold(ms, until).then(() => released.push(name));
    hold("short", 100);
    hold("long", 60_000);
    hold("left", 1000, gone.signal);
    await clock.advance(100);
    expect(released).toEqual(["short"]);
    gone.abort();
    await clock.advance(0);
    expect(released).toEqual(["short", "left"]);
    await clock.advance(4900);
    expect(released).toEqual(["short", "left", "long"]);
    for (let n = 0; n < 3000; n++) hold("many", 1000);
    expect(lockout.held).toBe(1000);
    lockout.close();
    await clock.advance(0);
    expect([lockout.held, clock.pendingTimers, released.length]).toEqual([0, 0, 3003]);
  });
});
