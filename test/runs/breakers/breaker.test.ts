import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type BreakerEvent, BreakerEventSchema, BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import type { Fitness } from "../../../src/runs/breakers/breaker.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { createBreaker, policy } from "./breaker-harness.ts";

const kinds = (events: readonly BreakerEvent[]) => events.map(({ event }) => event.case);

describe("a closed breaker", () => {
  it("opens when more attempts have failed than its policy allows, and says so", () => {
    const { breaker, attempt, state, events } = createBreaker();
    expect([attempt("success"), attempt("failure")]).toEqual([true, true]);
    expect(breaker.counts).toEqual({ attempts: 2, failures: 1 });
    expect(attempt("failure")).toBe(true);
    expect(state()).toBe("OPEN");
    expect(attempt("success")).toBe(false);
    expect(events).toMatchObject([
      { generation: 1n, backend: "gpu:1", reason: "2 of 3 attempts failed within 60 s", requestedBy: "" },
    ]);
    expect(kinds(events)).toEqual(["opened"]);
    expect(breaker.refusal("x")?.reason).toBe("the breaker of a.B/C is open: 2 of 3 attempts failed within 60 s");
  });

  it("does not count what is neutral", () => {
    const { breaker, attempt, state } = createBreaker();
    for (let i = 0; i < 20; i++) attempt(undefined);
    expect(state()).toBe("CLOSED");
    expect(breaker.counts).toEqual({ attempts: 0, failures: 0 });
  });

  it("counts within its window, when attempts end", async () => {
    const { clock, attempt, begin, state } = createBreaker();
    const ends = ["a", "b", "c"].map(begin);
    attempt("failure");
    attempt("failure");
    await clock.advance(120_000);
    attempt("failure");
    expect(state()).toBe("CLOSED");
    // They took longer than the window, and count now.
    for (const end of ends.slice(0, 2)) end("failure");
    expect(state()).toBe("OPEN");
  });

  it("keeps no timer, and no window that is empty", async () => {
    const { breaker, clock, attempt } = createBreaker();
    attempt("failure");
    attempt("success");
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(100_000);
    breaker.tidy();
    expect(breaker.counts).toEqual({ attempts: 0, failures: 0 });
  });

  it("goes on counting when its policy has been read anew, and is the same", () => {
    const { breaker, attempt, state } = createBreaker();
    attempt("failure");
    attempt("failure");
    breaker.adopt({ ...policy }, "gpu:1");
    attempt("failure");
    expect(state()).toBe("OPEN");
  });

  it("begins anew with another policy", () => {
    const { breaker, attempt, state } = createBreaker();
    attempt("failure");
    attempt("failure");
    breaker.adopt({ ...policy, volumeThreshold: 5 }, "gpu:1");
    for (let i = 0; i < 4; i++) attempt("failure");
    expect(state()).toBe("CLOSED");
    attempt("failure");
    expect(state()).toBe("OPEN");
  });
});

describe("an open breaker", () => {
  it("lets nobody through until its reset time-out is over, to the millisecond, whatever the wall clock does", async () => {
    const { breaker, clock, attempt, state, trip } = createBreaker();
    trip();
    expect(breaker.notBeforeMs).toBe(clock.now() + 30_000);
    clock.jump(3_600_000);
    await clock.advance(29_999);
    expect(attempt("success")).toBe(false);
    expect(breaker.refusal("x")).toMatchObject({ open: true, notBeforeMs: clock.now() + 1 });
    clock.jump(-7_200_000);
    await clock.advance(1);
    expect(state()).toBe("HALF_OPEN");
  });

  it("is not moved by the ends of attempts that began before", async () => {
    const { clock, begin, trip, state } = createBreaker();
    const ends = ["a", "b", "c", "d"].map(begin);
    trip();
    ends[0]?.("success");
    expect(state()).toBe("OPEN");
    await clock.advance(30_000);
    ends[1]?.("success");
    ends[2]?.("failure");
    expect(state()).toBe("HALF_OPEN");
  });

  it("closes for another back-end", () => {
    const { breaker, trip, state, events } = createBreaker();
    trip();
    breaker.adopt(policy, "gpu:2");
    expect(state()).toBe("CLOSED");
    expect(events.at(-1)).toMatchObject({ backend: "gpu:2", reason: "its back-end is gpu:2 now, and was gpu:1" });
  });
});

describe("a half-open breaker", () => {
  it("lets one trial through at a time, and closes when it succeeds", async () => {
    const { breaker, clock, attempt, begin, trip, state, events } = createBreaker();
    trip();
    await clock.advance(30_000);
    expect(breaker.refusal("trial")).toBeUndefined();
    expect(breaker.refusal("trial")).toBeUndefined();
    const end = begin("trial");
    expect(attempt("success")).toBe(false);
    end("success");
    expect(state()).toBe("CLOSED");
    expect(attempt("success")).toBe(true);
    expect(kinds(events)).toEqual(["opened", "halfOpened", "closed"]);
    expect(events.map(({ generation }) => generation)).toEqual([1n, 2n, 3n]);
  });

  it("opens again when it fails, for the whole time", async () => {
    const { clock, attempt, trip, state } = createBreaker();
    trip();
    await clock.advance(30_000);
    attempt("failure");
    expect(state()).toBe("OPEN");
    await clock.advance(29_999);
    expect(state()).toBe("OPEN");
    await clock.advance(1);
    expect(state()).toBe("HALF_OPEN");
  });

  it("takes another trial when one was neutral, or did not come", async () => {
    const { breaker, clock, attempt, trip, state } = createBreaker();
    trip();
    await clock.advance(30_000);
    expect(attempt(undefined)).toBe(true);
    expect(state()).toBe("HALF_OPEN");
    expect(breaker.refusal("a")).toBeUndefined();
    expect(breaker.refusal("b")).toMatchObject({ open: true, notBeforeMs: undefined });
    breaker.withdraw("a");
    expect(breaker.refusal("b")).toBeUndefined();
  });

  it("lets another trial through where one is not over for long, and counts what comes of either", async () => {
    for (const verdict of ["success", "failure"] as const) {
      const { breaker, clock, begin, attempt, trip, state, woken } = createBreaker();
      trip();
      await clock.advance(30_000);
      expect(breaker.refusal("hangs")).toBeUndefined();
      const end = begin("hangs");
      breaker.hold("held", 0, 0);
      // Its window is longer than its reset time-out.
      await clock.advance(59_999);
      expect(woken).toEqual([]);
      await clock.advance(1);
      expect([woken, state(), attempt("success", "newcomer")]).toEqual([["held"], "HALF_OPEN", false]);
      end(verdict);
      expect(state()).toBe(verdict === "success" ? "CLOSED" : "OPEN");
    }
  });

  it("keeps no timer for a trial that is over", async () => {
    const { clock, attempt, trip } = createBreaker({ policy: { successThreshold: 2 } });
    trip();
    await clock.advance(30_000);
    attempt(undefined);
    attempt("success");
    expect(clock.pendingTimers).toBe(0);
    attempt("success");
    expect(clock.pendingTimers).toBe(0);
  });

  it("wants as many successes in a row as its policy says", async () => {
    const { breaker, clock, attempt, trip, state, trials } = createBreaker({ policy: { successThreshold: 3 } });
    trip();
    await clock.advance(30_000);
    attempt("success");
    attempt("success");
    expect(breaker.trialSuccesses).toBe(2);
    expect(trials).toEqual([1, 2]);
    attempt("failure");
    await clock.advance(30_000);
    for (let i = 0; i < 2; i++) attempt("success");
    expect(state()).toBe("HALF_OPEN");
    attempt("success");
    expect(state()).toBe("CLOSED");
  });

  it("has an empty window when it has closed", async () => {
    const { clock, attempt, trip, state } = createBreaker();
    trip();
    await clock.advance(30_000);
    attempt("success");
    attempt("failure");
    attempt("failure");
    expect(state()).toBe("CLOSED");
    attempt("failure");
    expect(state()).toBe("OPEN");
  });

  it("asks the back-end where it can be asked, and spends no run on it", async () => {
    const probes: PromiseWithResolvers<Fitness>[] = [];
    const probe = () => {
      const made = Promise.withResolvers<Fitness>();
      probes.push(made);
      return made.promise;
    };
    const { breaker, clock, attempt, trip, state, woken, events } = createBreaker({
      probe,
      policy: { successThreshold: 2 },
    });
    trip();
    breaker.hold("held", 0, 0);
    await clock.advance(30_000);
    expect(attempt("success")).toBe(false);
    expect(woken).toEqual([]);
    probes[0]?.resolve({ fit: false, reason: "no card" });
    await clock.advance(0);
    expect(state()).toBe("OPEN");
    expect(events.at(-1)?.reason).toBe("its back-end is not fit yet: no card");
    await clock.advance(30_000);
    probes[1]?.resolve({ fit: true });
    await clock.advance(0);
    expect(breaker.trialSuccesses).toBe(1);
    probes[2]?.resolve({ fit: true });
    await clock.advance(0);
    expect(state()).toBe("CLOSED");
    expect(woken).toEqual(["held"]);
    expect(probes).toHaveLength(3);
  });

  it("lets a run be the trial after all where the back-end cannot tell", async () => {
    const { breaker, clock, attempt, trip, state, woken } = createBreaker({ probe: async () => undefined });
    trip();
    breaker.hold("held", 0, 0);
    await clock.advance(30_000);
    expect([state(), woken]).toEqual(["HALF_OPEN", ["held"]]);
    // Nobody waits for a probe any more.
    await clock.advance(59_000);
    expect(attempt("success")).toBe(false);
    expect(attempt("success", "held")).toBe(true);
    expect(state()).toBe("CLOSED");
  });

  it("takes a probe that is never answered for a failed one", async () => {
    const { clock, trip, state, events } = createBreaker({ probe: () => new Promise(() => undefined) });
    trip();
    await clock.advance(60_000);
    expect(state()).toBe("OPEN");
    expect(events.at(-1)?.reason).toBe("a probe was not answered");
  });

  it("ignores the answer of a probe from before", async () => {
    const probes = [Promise.withResolvers<Fitness>(), Promise.withResolvers<Fitness>()];
    let made = 0;
    const { breaker, clock, trip, state } = createBreaker({ probe: () => probes[made++]?.promise });
    trip();
    await clock.advance(30_000);
    breaker.force({ open: true, requestedBy: "ana", reason: "", untilMs: undefined });
    breaker.unforce("ana", "");
    probes[0]?.resolve({ fit: true });
    await clock.advance(0);
    expect(state()).toBe("HALF_OPEN");
    probes[1]?.resolve({ fit: true });
    await clock.advance(0);
    expect(state()).toBe("CLOSED");
  });
});

describe("runs that a breaker holds", () => {
  it("are the first trial in the order of priority and acceptance", async () => {
    const { breaker, clock, trip, woken, attempt } = createBreaker();
    trip();
    breaker.hold("young", 0, 300);
    breaker.hold("old", 0, 100);
    breaker.hold("urgent", 5, 400);
    breaker.hold("old", 0, 100);
    expect(["urgent", "old", "young", "other"].map((id) => breaker.position(id))).toEqual([1, 2, 3, undefined]);
    await clock.advance(30_000);
    expect(woken).toEqual(["urgent"]);
    expect(attempt("success", "newcomer")).toBe(false);
    expect(attempt(undefined, "urgent")).toBe(true);
    expect(woken).toEqual(["urgent", "old"]);
  });

  it("go on in waves of 1, 2, 4, … once it has closed, each when the one before has ended, and newcomers behind them", async () => {
    const { breaker, clock, trip, woken, attempt, begin } = createBreaker();
    trip();
    for (let i = 0; i < 10; i++) breaker.hold(`held ${i}`, 0, i);
    await clock.advance(30_000);
    expect(attempt("success", "held 0")).toBe(true);
    expect(woken).toEqual(["held 0", "held 1"]);
    expect(breaker.refusal("newcomer")).toMatchObject({ open: false, notBeforeMs: undefined });
    breaker.hold("newcomer", 0, 100);
    const waves: number[] = [];
    for (let done = 1; done < woken.length; ) {
      const wave = woken.slice(done);
      waves.push(wave.length);
      expect(breaker.waveSize).toBeGreaterThanOrEqual(wave.length);
      done = woken.length;
      const ends = wave.map(begin);
      for (const [index, end] of ends.entries()) {
        expect(woken).toHaveLength(done);
        expect(breaker.refusal(wave[index] ?? "")).toBeUndefined();
        end("success");
      }
    }
    expect(waves).toEqual([1, 2, 4, 3]);
    expect(woken.at(-1)).toBe("newcomer");
    expect(attempt("success", "later")).toBe(true);
    expect(breaker.waveSize).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("do not wait for a wave longer than the reset time-out", async () => {
    const { breaker, clock, trip, woken, attempt, begin } = createBreaker();
    trip();
    for (let i = 0; i < 8; i++) breaker.hold(`held ${i}`, 0, i);
    await clock.advance(30_000);
    attempt("success", "held 0");
    const end = begin("held 1");
    await clock.advance(29_999);
    expect(woken).toHaveLength(2);
    await clock.advance(1);
    expect(woken).toHaveLength(4);
    // An end from an earlier wave is not one of this wave.
    end("success");
    attempt("success", "held 2");
    expect(woken).toHaveLength(4);
    attempt("success", "held 3");
    expect(woken).toHaveLength(8);
  });

  it("begin with a wave of one anew behind one in which an attempt failed", () => {
    const { breaker, woken, attempt } = createBreaker({ policy: { volumeThreshold: 100 } });
    breaker.force({ open: true, requestedBy: "ana", reason: "", untilMs: undefined });
    for (let i = 0; i < 20; i++) breaker.hold(`held ${i}`, 0, i);
    breaker.force({ open: false, requestedBy: "ana", reason: "", untilMs: undefined });
    const wave = (verdict: "success" | "failure"): number => {
      const before = woken.length;
      const from = before - breaker.waveSize;
      for (const runId of woken.slice(from)) attempt(verdict, runId);
      return woken.length - before;
    };
    breaker.unforce("ana", "");
    expect(woken).toHaveLength(2);
    const verdicts = ["success", "success", "failure", "success"] as const;
    expect(verdicts.map(wave)).toEqual([2, 4, 1, 2]);
  });

  it("stay when it opens while they leave, those too that were woken and have not come", async () => {
    const { breaker, clock, trip, woken, attempt } = createBreaker();
    trip();
    for (let i = 0; i < 5; i++) breaker.hold(`held ${i}`, 0, i);
    await clock.advance(30_000);
    attempt("success", "held 0");
    expect(woken).toEqual(["held 0", "held 1"]);
    breaker.force({ open: true, requestedBy: "ana", reason: "stop", untilMs: undefined });
    expect(breaker.refusal("held 1")).toMatchObject({ open: true });
    expect(breaker.waiting).toBe(3);
  });

  it("are woken when it opens, where they would not have waited for that, and are not kept", () => {
    const { breaker, woken } = createBreaker();
    const force = (open: boolean) => breaker.force({ open, requestedBy: "ana", reason: "", untilMs: undefined });
    force(true);
    for (const runId of ["a", "b"]) breaker.hold(runId, 0, 0);
    force(false);
    breaker.hold("leaving", 0, 1, true);
    breaker.hold("gone", 0, 1, true);
    breaker.withdraw("gone");
    breaker.hold("another mind", 0, 1, true);
    breaker.hold("another mind", 0, 1);
    expect(breaker.keeps("leaving", 0, 1, true)).toBe(true);
    woken.length = 0;
    force(true);
    expect(woken).toEqual(["leaving"]);
    expect(breaker.keeps("leaving", 0, 1, true)).toBe(false);
    expect(breaker.keeps("b", 0, 0)).toBe(true);
  });

  it("make room for the next when they withdraw", async () => {
    const { breaker, clock, trip, woken } = createBreaker();
    trip();
    for (let i = 0; i < 4; i++) breaker.hold(`held ${i}`, 0, i);
    breaker.withdraw("held 1");
    await clock.advance(30_000);
    breaker.withdraw("held 0");
    expect(woken).toEqual(["held 0", "held 2"]);
    expect(breaker.waiting).toBe(1);
  });

  it("are kept where they are when they come by themselves, and go in waves when it is closed already", () => {
    const { breaker, woken, attempt } = createBreaker();
    expect(breaker.keeps("a", 0, 1)).toBe(false);
    expect(breaker.keeps("b", 0, 2)).toBe(true);
    expect(breaker.keeps("c", 0, 3)).toBe(true);
    expect(breaker.keeps("a", 0, 1)).toBe(false);
    expect(woken).toEqual([]);
    attempt("success", "a");
    expect(woken).toEqual(["b", "c"]);
    expect(breaker.keeps("b", 0, 2)).toBe(false);
  });
});

describe("a forced breaker", () => {
  const open = { open: true, requestedBy: "ana", reason: "new cards", untilMs: undefined };

  it("stays open whatever attempts come to, until it is automatic again, and then tries", async () => {
    const { breaker, clock, attempt, begin, state, events } = createBreaker();
    const end = begin("before");
    breaker.force(open);
    end("success");
    await clock.advance(3_600_000);
    expect(state()).toBe("OPEN");
    expect(breaker.mode).toBe(BreakerMode.FORCED_OPEN);
    expect(breaker.refusal("x")).toEqual({
      open: true,
      reason: "the breaker of a.B/C is held open by ana: new cards",
      notBeforeMs: undefined,
    });
    breaker.unforce("bob", "they are in");
    expect(state()).toBe("HALF_OPEN");
    attempt("success");
    expect(state()).toBe("CLOSED");
    expect(events).toMatchObject([
      { requestedBy: "ana", reason: "new cards" },
      { requestedBy: "bob", reason: "they are in" },
      { requestedBy: "" },
    ]);
    expect(kinds(events)).toEqual(["forced", "halfOpened", "closed"]);
  });

  it("stays closed whatever attempts come to, and begins with an empty window when it is automatic again", () => {
    const { breaker, attempt, state } = createBreaker();
    breaker.force({ ...open, open: false });
    for (let i = 0; i < 50; i++) attempt("failure");
    expect(state()).toBe("CLOSED");
    expect(breaker.mode).toBe(BreakerMode.FORCED_CLOSED);
    breaker.unforce("bob", "");
    attempt("failure");
    attempt("failure");
    expect(state()).toBe("CLOSED");
    attempt("failure");
    expect(state()).toBe("OPEN");
  });

  it("is automatic again when its time is over, by the wall clock", async () => {
    const { breaker, clock, state, events } = createBreaker();
    breaker.force({ ...open, untilMs: clock.now() + 7_200_000 });
    expect(breaker.refusal("x")?.notBeforeMs).toBe(clock.now() + 7_200_000);
    await clock.advance(3_600_000);
    clock.jump(-1_800_000);
    await clock.advance(3_600_000);
    expect(state()).toBe("OPEN");
    await clock.advance(1_800_000);
    expect(state()).toBe("HALF_OPEN");
    expect(events.at(-1)).toMatchObject({ requestedBy: "", reason: "the forced state has expired" });
  });

  it("notices within a minute that the wall clock has jumped past its time", async () => {
    const { breaker, clock, state } = createBreaker();
    breaker.force({ ...open, open: false, untilMs: clock.now() + 86_400_000 });
    clock.jump(86_400_000);
    await clock.advance(60_000);
    expect(breaker.mode).toBe(BreakerMode.AUTOMATIC);
    expect(state()).toBe("CLOSED");
  });

  it("lets those that it held go in waves when it is held closed", () => {
    const { breaker, woken, attempt } = createBreaker();
    breaker.force(open);
    for (let i = 0; i < 4; i++) breaker.hold(`held ${i}`, 0, i);
    breaker.force({ ...open, open: false });
    expect(woken).toEqual(["held 0"]);
    attempt("success", "held 0");
    expect(woken).toHaveLength(3);
  });

  it("takes being automatic for nothing when it is", () => {
    const { breaker, events } = createBreaker();
    breaker.unforce("ana", "");
    expect(events).toEqual([]);
  });
});

it("leaves nothing to wait for when it is stopped, whatever ends afterwards", async () => {
  const probed = Promise.withResolvers<Fitness>();
  const { breaker, clock, trip, begin, events, woken } = createBreaker({ probe: () => probed.promise });
  const end = begin("late");
  trip();
  breaker.hold("held", 0, 0);
  await clock.advance(30_000);
  breaker.stop();
  end("success");
  probed.resolve({ fit: true });
  breaker.withdraw("nobody");
  await clock.advance(0);
  expect(events).toHaveLength(2);
  expect(woken).toEqual([]);
  expect(clock.pendingTimers).toBe(0);
});

describe("after a restart", () => {
  /** What is left of a breaker in a later process, whose monotonic clock begins anew. */
  const restarted = (event: BreakerEvent | undefined, nowMs: number) => {
    if (event === undefined) throw new Error("nothing has happened");
    const left = fromBinary(BreakerEventSchema, toBinary(BreakerEventSchema, event));
    return createBreaker({ clock: createVirtualClock({ startMs: nowMs }), left });
  };

  it("an open one stays so for the rest of its time", async () => {
    const first = createBreaker();
    first.trip();
    await first.clock.advance(10_000);
    const second = restarted(first.events.at(-1), first.clock.now());
    expect(second.state()).toBe("OPEN");
    expect(second.breaker.reason).toBe(first.breaker.reason);
    expect(second.breaker.generation).toBe(1);
    await second.clock.advance(19_999);
    expect(second.state()).toBe("OPEN");
    await second.clock.advance(1);
    expect(second.state()).toBe("HALF_OPEN");
    expect(second.events[0]?.generation).toBe(2n);
  });

  it("a half-open one goes on counting the trials that have succeeded", async () => {
    const { clock, events, trip } = createBreaker();
    trip();
    await clock.advance(30_000);
    const event = events.at(-1);
    if (event?.event.case !== "halfOpened") throw new Error("it is not half-open");
    event.event.value.successes = 2;
    const left = createBreaker({ left: event, policy: { successThreshold: 4 } });
    expect(left.breaker.trialSuccesses).toBe(2);
    left.attempt("success");
    expect(left.state()).toBe("HALF_OPEN");
    left.attempt("success");
    expect(left.state()).toBe("CLOSED");
  });

  it.each([
    ["gone back", -86_400_000, 30_000],
    ["gone on", 86_400_000, 0],
  ])(
    "an open one waits for its reset time-out at most when the wall clock has %s meanwhile",
    async (_, jumpMs, leftMs) => {
      const first = createBreaker();
      first.trip();
      const second = restarted(first.events.at(-1), first.clock.now() + jumpMs);
      expect(second.breaker.notBeforeMs).toBe(second.clock.now() + leftMs);
      await second.clock.advance(leftMs);
      expect(second.state()).toBe("HALF_OPEN");
    },
  );

  it("a half-open one takes a trial anew", async () => {
    const first = createBreaker();
    first.trip();
    await first.clock.advance(30_000);
    first.breaker.refusal("trial");
    const second = restarted(first.events.at(-1), first.clock.now());
    expect(second.state()).toBe("HALF_OPEN");
    expect(second.breaker.keeps("parked", 0, 0)).toBe(false);
    expect(second.attempt("success")).toBe(false);
    expect(second.attempt("success", "parked")).toBe(true);
    expect(second.state()).toBe("CLOSED");
  });

  it("a half-open one asks its back-end anew", async () => {
    const first = createBreaker();
    first.trip();
    await first.clock.advance(30_000);
    const second = createBreaker({ left: first.events.at(-1) as BreakerEvent, probe: async () => ({ fit: true }) });
    await second.clock.advance(0);
    expect(second.state()).toBe("CLOSED");
  });

  it("a closed one is closed", async () => {
    const first = createBreaker();
    first.trip();
    await first.clock.advance(30_000);
    first.attempt("success");
    const second = restarted(first.events.at(-1), first.clock.now());
    expect(second.state()).toBe("CLOSED");
    expect(second.breaker.generation).toBe(3);
    expect(second.attempt("success")).toBe(true);
  });

  it.each([[true], [false]])("a forced one is what the operator said (open: %s), for as long", async (open) => {
    const first = createBreaker();
    first.breaker.force({ open, requestedBy: "ana", reason: "why", untilMs: first.clock.now() + 100_000 });
    const second = restarted(first.events.at(-1), first.clock.now() + 50_000);
    expect(second.breaker.mode).toBe(open ? BreakerMode.FORCED_OPEN : BreakerMode.FORCED_CLOSED);
    expect(second.attempt("success")).toBe(!open);
    await second.clock.advance(49_999);
    expect(second.breaker.mode).not.toBe(BreakerMode.AUTOMATIC);
    await second.clock.advance(1);
    expect(second.breaker.mode).toBe(BreakerMode.AUTOMATIC);
  });
});
