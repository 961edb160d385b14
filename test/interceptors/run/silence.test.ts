import { describe, expect, it } from "vitest";
import { type Probe, Silence } from "../../../src/interceptors/run/silence.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

/** A silence of 10 s, watched from the start. */
function watch(probe?: Probe) {
  const clock = createVirtualClock();
  const dead: { why: string; atMs: number }[] = [];
  const silence = new Silence({
    clock,
    totalMs: 10_000,
    probe,
    onDead: (why) => dead.push({ why, atMs: clock.monotonic() }),
  });
  silence.resume();
  return { clock, silence, dead };
}

describe("a silence", () => {
  it("is over after its time where nobody can be asked, or the back-end has no probe", async () => {
    for (const probe of [undefined, async () => undefined]) {
      const { clock, dead } = watch(probe);
      await clock.advance(9_999);
      expect(dead).toEqual([]);
      await clock.advance(1);
      expect(dead).toEqual([{ why: "", atMs: 10_000 }]);
      expect(clock.pendingTimers).toBe(0);
    }
  });

  it("begins anew each time that the job lives, and ends with the reason why it does not", async () => {
    let asked = 0;
    const { clock, dead } = watch(async () =>
      ++asked < 3 ? { alive: true } : { alive: false, reason: "no such job" },
    );
    await clock.advance(29_999);
    expect([asked, dead]).toEqual([2, []]);
    await clock.advance(1_000);
    expect([asked, dead]).toEqual([3, []]);
    await clock.advance(1);
    expect(dead).toEqual([{ why: "no such job", atMs: 31_000 }]);
  });

  it("takes a job for alive that is not there at first, or ends meanwhile", async () => {
    let asked = 0;
    const { clock, silence, dead } = watch(async () => ({ alive: ++asked === 2 }));
    await clock.advance(11_000);
    expect([asked, dead]).toEqual([2, []]);
    await clock.advance(10_000);
    expect(asked).toBe(3);
    silence.pause();
    await clock.advance(60_000);
    expect([asked, dead]).toEqual([3, []]);
  });

  it("asks three times, a second apart, where there is no answer, and one at a time", async () => {
    const signals: AbortSignal[] = [];
    const { clock, dead } = watch((signal) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    await clock.advance(10_000);
    expect(signals).toHaveLength(1);
    await clock.advance(5_000);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    await clock.advance(1_000 + 5_000 + 1_000);
    expect(signals).toHaveLength(3);
    expect(dead).toEqual([]);
    await clock.advance(5_000);
    expect(dead).toEqual([
      {
        why: "its back-end could not tell whether the job lives: it took longer than its 5000 ms",
        atMs: 27_000,
      },
    ]);
  });

  it("forgives an answer that fails when the next one comes", async () => {
    let asked = 0;
    const { clock, dead } = watch(async () => {
      if (++asked === 1) throw new Error("busy");
      return { alive: true };
    });
    await clock.advance(20_999);
    expect([asked, dead]).toEqual([2, []]);
    await clock.advance(1);
    expect(asked).toBe(3);
  });

  it("has all its time again when the attempt moves, also while the back-end is being asked", async () => {
    let answer: ((health: { alive: boolean }) => void) | undefined;
    const { clock, silence, dead } = watch(() => new Promise((resolve) => (answer = resolve)));
    await clock.advance(9_000);
    silence.moved();
    await clock.advance(10_000);
    expect(answer).toBeDefined();
    silence.moved();
    answer?.({ alive: false });
    await clock.advance(9_999);
    expect(dead).toEqual([]);
  });

  it("stands still while the attempt is paused, and asks nobody", async () => {
    let asked = 0;
    const { clock, silence, dead } = watch(async () => {
      asked += 1;
      return { alive: false };
    });
    await clock.advance(4_000);
    silence.pause();
    await clock.advance(60_000);
    silence.resume();
    await clock.advance(5_999);
    expect([asked, dead]).toEqual([0, []]);
    await clock.advance(1_001);
    expect(dead).toHaveLength(1);
    silence.pause();
    expect(clock.pendingTimers).toBe(0);
  });
});
