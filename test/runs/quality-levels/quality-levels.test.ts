import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FailureCategory, Quality, WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { QualityCause } from "../../../gen/retake/v1/quality_level_pb.js";
import { FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { type Policy, resolvePolicy } from "../../../src/contract/policy.ts";
import { createFailure, JournalUnavailableError, QualityLevels, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";

const { FULL, HIGH, MEDIUM, LOW, MINIMAL } = Quality;
const workflow = "a.B/C";
const second = 1000;
const minute = 60 * second;

const outOfMemory = createFailure({
  code: Code.ResourceExhausted,
  reason: "CUDA_OUT_OF_MEMORY",
  message: "",
  category: FailureCategory.MEMORY,
});
const critical = createFailure({
  code: Code.Internal,
  reason: "DEAD",
  message: "",
  severity: FailureSeverity.CRITICAL,
});
const harmless = createFailure({ code: Code.Unavailable, reason: "AWAY", message: "" });

/** Five minutes, and three failures. */
const declared = resolvePolicy(create(WorkflowPolicySchema, { quality: {} }));

async function open({
  policy = declared as Policy | "none",
  clock = createVirtualClock(),
  storage = createMemoryStorage({ clock }),
} = {}) {
  const changes: string[] = [];
  const levels = new QualityLevels({
    journal: storage.journal,
    clock,
    log: silentLogger,
    policy: () => (policy === "none" ? undefined : policy),
    onChange: ({ level, cause }, before) =>
      changes.push(`${Quality[before]} -> ${Quality[level]} ${QualityCause[cause]}`),
  });
  const opened = levels.open();
  await clock.advance(0);
  await opened;
  const settled = async <T>(change: Promise<T>): Promise<T> => {
    change.catch(() => undefined);
    await clock.advance(0);
    return change;
  };
  /** Failures of attempts at the level, or above. */
  const fail = async (times: number, failure = outOfMemory, quality = levels.of(workflow)) => {
    for (let count = 0; count < times; count++) levels.failed(workflow, failure, quality);
    await clock.advance(0);
  };
  const set = (level: Quality, holdForMs?: number) =>
    settled(
      levels.set(workflow, {
        level,
        requestedBy: "ana",
        reason: "heat",
        ...(holdForMs === undefined ? {} : { holdForMs }),
      }),
    );
  const records = () => storage.journal.read(`quality/${workflow}`, 0, 1000);
  return { levels, clock, storage, changes, settled, fail, set, records, level: () => levels.of(workflow) };
}

describe("critical failures", () => {
  it.each([
    ["out of memory", outOfMemory],
    ["of severity CRITICAL", critical],
  ])("%s lower the level by one when there are enough of them", async (_, failure) => {
    const { levels, clock, fail, level } = await open();
    await fail(2, failure);
    expect(level()).toBe(FULL);
    await fail(1, failure);
    expect(level()).toBe(HIGH);
    expect(levels.status(workflow)).toEqual({
      workflow,
      level: HIGH,
      min: MINIMAL,
      cause: QualityCause.FAILURES,
      reason: `3 critical failures within restore_after, the last one ${failure.reason}`,
      setBy: "",
      sinceMs: clock.now(),
      heldAt: undefined,
      heldUntilMs: undefined,
      risesMs: clock.now() + 5 * minute,
    });
  });

  it("count within restore_after only, and anew after each step", async () => {
    const { clock, fail, level } = await open();
    await fail(2);
    await clock.advance(5 * minute + 1);
    await fail(2);
    expect(level()).toBe(FULL);
    await fail(1);
    expect(level()).toBe(HIGH);
    await fail(2);
    expect(level()).toBe(HIGH);
  });

  it("of other kinds do not count", async () => {
    const { fail, level, records } = await open();
    await fail(20, harmless);
    expect(level()).toBe(FULL);
    expect(await records()).toEqual([]);
  });

  it("of attempts that began at a higher level say nothing about this one, but keep it from rising", async () => {
    const { clock, fail, level } = await open();
    await fail(3);
    await clock.advance(4 * minute);
    await fail(20, outOfMemory, FULL);
    expect(level()).toBe(HIGH);
    await clock.advance(4 * minute);
    expect(level()).toBe(HIGH);
    await clock.advance(minute);
    expect(level()).toBe(FULL);
  });

  it("lower it no further than the policy's minimum, and by one at a time however many come at once", async () => {
    const policy = resolvePolicy(create(WorkflowPolicySchema, { quality: { min: Quality.MEDIUM } }));
    const { fail, level, changes } = await open({ policy });
    await fail(30);
    expect(level()).toBe(HIGH);
    for (let round = 0; round < 4; round++) await fail(3);
    expect(level()).toBe(MEDIUM);
    expect(changes).toEqual(["FULL -> HIGH FAILURES", "HIGH -> MEDIUM FAILURES"]);
  });

  it("do nothing where no quality is declared", async () => {
    const { fail, level } = await open({ policy: resolvePolicy(create(WorkflowPolicySchema)) });
    await fail(30);
    expect(level()).toBe(FULL);
  });
});

describe("a lowered level", () => {
  it("rises by one after each quiet period, up to FULL", async () => {
    const { levels, clock, fail, level, changes } = await open();
    await fail(3);
    await fail(3);
    await clock.advance(5 * minute - 1);
    expect(level()).toBe(MEDIUM);
    await clock.advance(1);
    expect(level()).toBe(HIGH);
    expect(levels.status(workflow)).toMatchObject({ cause: QualityCause.QUIET, risesMs: clock.now() + 5 * minute });
    await clock.advance(5 * minute);
    expect(levels.status(workflow)).toMatchObject({ level: FULL, risesMs: undefined });
    await clock.advance(60 * minute);
    expect(changes).toEqual([
      "FULL -> HIGH FAILURES",
      "HIGH -> MEDIUM FAILURES",
      "MEDIUM -> HIGH QUIET",
      "HIGH -> FULL QUIET",
    ]);
  });

  it("waits anew with every critical failure", async () => {
    const { clock, fail, level } = await open();
    await fail(3);
    for (let round = 0; round < 20; round++) {
      await clock.advance(4 * minute);
      await fail(1, outOfMemory, FULL);
    }
    expect(level()).toBe(HIGH);
  });

  it("waits twice as long each time that it falls back soon, up to eight times, and forgets that when it has held", async () => {
    const { clock, fail, level } = await open();
    const waits: number[] = [];
    for (let round = 0; round < 6; round++) {
      await fail(3);
      const startMs = clock.now();
      while (level() !== FULL) await clock.advance(minute);
      waits.push((clock.now() - startMs) / minute);
    }
    expect(waits).toEqual([5, 10, 20, 40, 40, 40]);
    await clock.advance(41 * minute);
    await fail(3);
    await clock.advance(5 * minute);
    expect(level()).toBe(FULL);
  });

  it("does not flap, however failures and quiet alternate", async () => {
    const { clock, fail, changes } = await open();
    // For a day, three failures whenever it has been at FULL for ten seconds.
    for (let passedMs = 0; passedMs < 24 * 60 * minute; passedMs += 10 * second) {
      await clock.advance(10 * second);
      if (changes.length % 2 === 0) await fail(3, outOfMemory, FULL);
    }
    // Without hysteresis there would be two in every five minutes: 576.
    expect(changes.length).toBeLessThan(80);
  });
});

describe("an operator", () => {
  it("sets a level up and down at once, and holds it", async () => {
    const { levels, clock, fail, set, level } = await open();
    expect(await set(LOW)).toMatchObject({
      level: LOW,
      cause: QualityCause.OPERATOR,
      setBy: "ana",
      reason: "heat",
      heldAt: LOW,
    });
    await clock.advance(24 * 60 * minute);
    expect(level()).toBe(LOW);
    await set(HIGH);
    expect(level()).toBe(HIGH);
    await fail(3);
    expect(levels.status(workflow)).toMatchObject({ level: MEDIUM, heldAt: HIGH, setBy: "" });
    await clock.advance(60 * minute);
    expect(levels.status(workflow)).toMatchObject({ level: HIGH, heldAt: HIGH, risesMs: undefined });
  });

  it("holds it for a time, after which it rises step by step", async () => {
    const { levels, clock, set, level } = await open();
    const untilMs = clock.now() + 60 * minute;
    expect(await set(MEDIUM, 60 * minute)).toMatchObject({ heldUntilMs: untilMs, risesMs: undefined });
    await clock.advance(60 * minute);
    expect(levels.status(workflow)).toMatchObject({ level: MEDIUM, heldAt: undefined, risesMs: untilMs + 5 * minute });
    await clock.advance(5 * minute);
    expect(level()).toBe(HIGH);
    await clock.advance(5 * minute);
    expect(level()).toBe(FULL);
  });

  it("forgets all trouble with FULL", async () => {
    const { levels, fail, set, level } = await open();
    await set(LOW, minute);
    await set(FULL);
    expect(levels.status(workflow)).toMatchObject({ level: FULL, heldAt: undefined, heldUntilMs: undefined });
    await fail(2);
    await set(FULL);
    await fail(1);
    expect(level()).toBe(FULL);
  });

  it("holds it too where nothing is declared, and it comes back by the defaults", async () => {
    const { clock, set, level } = await open({ policy: "none" });
    await set(HIGH, minute);
    await clock.advance(minute);
    await clock.advance(5 * minute - 1);
    expect(level()).toBe(HIGH);
    await clock.advance(1);
    expect(level()).toBe(FULL);
  });
});

describe("an alert", () => {
  const alert = { name: "gpu-hot", reason: "92 °C" };

  it("lowers the level by one, once in the time that it takes to rise, and keeps it from rising while it goes on", async () => {
    const { levels, clock, settled, level } = await open();
    expect(await settled(levels.lower(workflow, alert))).toBe(true);
    expect(levels.status(workflow)).toMatchObject({ level: HIGH, cause: QualityCause.ALERT, reason: "gpu-hot: 92 °C" });
    for (let round = 0; round < 4; round++) {
      await clock.advance(minute);
      expect(await settled(levels.lower(workflow, alert))).toBe(false);
    }
    expect(level()).toBe(HIGH);
    await clock.advance(minute);
    expect(await settled(levels.lower(workflow, alert))).toBe(true);
    expect(await settled(levels.lower(workflow, { ...alert, name: "other" }))).toBe(true);
    expect(level()).toBe(LOW);
    await clock.advance(15 * minute);
    expect(level()).toBe(FULL);
  });

  it("does nothing at the minimum, and where no quality is declared", async () => {
    const policy = resolvePolicy(create(WorkflowPolicySchema, { quality: { min: FULL } }));
    for (const each of [policy, resolvePolicy(create(WorkflowPolicySchema)), "none"] as const) {
      const { levels, settled, level } = await open({ policy: each });
      expect(await settled(levels.lower(workflow, alert))).toBe(false);
      expect(level()).toBe(FULL);
    }
  });
});

describe("a restart", () => {
  it("finds levels, causes, holds and relapses as they were", async () => {
    const first = await open();
    await first.fail(3);
    await first.clock.advance(5 * minute);
    await first.fail(3);
    await first.clock.advance(3 * minute);
    const before = first.levels.status(workflow);
    first.levels.stop();
    const second = await open(first);
    expect(second.levels.status(workflow)).toEqual(before);
    await second.clock.advance(7 * minute - 1);
    expect(second.level()).toBe(HIGH);
    await second.clock.advance(1);
    expect(second.level()).toBe(FULL);
    await second.set(LOW, 10 * minute);
    const held = second.levels.status(workflow);
    second.levels.stop();
    const third = await open(second);
    expect(third.levels.status(workflow)).toEqual(held);
    third.levels.stop();
    await third.clock.advance(12 * minute);
    const fourth = await open(third);
    expect(fourth.levels.status(workflow)).toMatchObject({
      level: LOW,
      heldAt: undefined,
      risesMs: fourth.clock.now() + 3 * minute,
    });
  });

  it("forgets a tenth of the quiet period at most, with few records", async () => {
    const first = await open();
    await first.fail(3);
    for (let round = 0; round < 1000; round++) {
      await first.clock.advance(second);
      await first.fail(3, outOfMemory, FULL);
    }
    const { risesMs = 0 } = first.levels.status(workflow);
    expect((await first.records()).length).toBeLessThanOrEqual(1 + 1000 / 30);
    first.levels.stop();
    const restarted = await open(first);
    const { risesMs: after = 0 } = restarted.levels.status(workflow);
    expect(after).toBeLessThanOrEqual(risesMs);
    expect(after).toBeGreaterThan(risesMs - 31 * second);
  });
});

describe("a long history", () => {
  it("is forgotten at a restart, once the workflow is well for so long that it does not matter", async () => {
    const first = await open();
    for (let round = 0; round < 49; round++) {
      await first.fail(3);
      await first.clock.advance(40 * minute);
    }
    await first.fail(3);
    await first.clock.advance(6 * minute);
    expect(first.level()).toBe(FULL);
    first.levels.stop();
    const soon = await open(first);
    soon.levels.stop();
    expect(await soon.records()).toHaveLength(100);
    await soon.clock.advance(60 * minute);
    const later = await open(soon);
    expect(await later.records()).toEqual([]);
    expect(later.level()).toBe(FULL);
    await later.fail(3);
    later.levels.stop();
    expect((await open(later)).level()).toBe(HIGH);
  });

  it("is forgotten while the server runs when the level falls anew, but for how often it has fallen back", async () => {
    const first = await open();
    let longest = 0;
    for (let round = 0; round < 120; round++) {
      await first.fail(3);
      await first.clock.advance((5 * 2 ** Math.min(round, 3) + 1) * minute);
      longest = Math.max(longest, (await first.records()).length);
    }
    expect([longest, first.level()]).toEqual([100, FULL]);
    await first.fail(3);
    first.levels.stop();
    const restarted = await open(first);
    expect(restarted.level()).toBe(HIGH);
    // Eight times as long as the first time.
    await restarted.clock.advance(39 * minute);
    expect(restarted.level()).toBe(HIGH);
    await restarted.clock.advance(2 * minute);
    expect(restarted.level()).toBe(FULL);
  });

  it("is kept where the level is low", async () => {
    const first = await open();
    await first.set(LOW);
    for (let round = 0; round < 110; round++) await first.set(LOW);
    first.levels.stop();
    const restarted = await open(first);
    expect(await restarted.records()).toHaveLength(111);
    expect(restarted.level()).toBe(LOW);
  });
});

describe("time", () => {
  it("goes by the monotonic clock: a jump of the wall clock neither raises nor holds a level", async () => {
    for (const jumpMs of [24 * 60 * minute, -24 * 60 * minute]) {
      const { clock, fail, level } = await open();
      await fail(3);
      clock.jump(jumpMs);
      await clock.advance(5 * minute - 1);
      expect(level()).toBe(HIGH);
      await clock.advance(1);
      expect(level()).toBe(FULL);
    }
  });

  it("stands still once it is stopped", async () => {
    const { levels, clock, fail, level } = await open();
    await fail(3);
    levels.stop();
    await fail(9);
    await clock.advance(60 * minute);
    expect(level()).toBe(HIGH);
    expect(await levels.lower(workflow, { name: "a", reason: "" })).toBe(false);
  });
});

describe("while the journal fails", () => {
  it("levels stay, callers are told, and a rise is tried again", async () => {
    const { levels, clock, storage, settled, fail, set, level } = await open();
    await fail(3);
    const append = storage.journal.append;
    storage.journal.append = () => Promise.reject(new JournalUnavailableError("full"));
    await fail(3);
    expect(level()).toBe(HIGH);
    await expect(set(LOW)).rejects.toThrow(JournalUnavailableError);
    await expect(settled(levels.lower(workflow, { name: "a", reason: "" }))).rejects.toThrow(JournalUnavailableError);
    await clock.advance(5 * minute);
    expect(level()).toBe(HIGH);
    storage.journal.append = append;
    await clock.advance(10 * second);
    expect(level()).toBe(FULL);
    expect(await settled(levels.lower(workflow, { name: "a", reason: "" }))).toBe(true);
  });
});

describe("whatever happens,", () => {
  const anything = fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant("fail"),
        times: fc.integer({ min: 1, max: 4 }),
        at: fc.integer({ min: 1, max: 5 }),
      }),
      fc.record({ kind: fc.constant("alert"), name: fc.constantFrom("a", "b") }),
      fc.record({
        kind: fc.constant("set"),
        level: fc.constantFrom(LOW, MEDIUM, HIGH, FULL),
        holdForMs: fc.option(fc.integer({ min: second, max: 30 * minute }), { nil: undefined }),
      }),
      fc.record({ kind: fc.constant("wait"), ms: fc.integer({ min: 0, max: 15 * minute }) }),
      fc.record({ kind: fc.constant("restart") }),
    ),
    { maxLength: 30 },
  );

  it("a level moves by one unless an operator moves it, stays in its bounds, and a restart finds it", async () => {
    const policy = resolvePolicy(create(WorkflowPolicySchema, { quality: { min: LOW } }));
    await fc.assert(
      fc.asyncProperty(anything, async (happenings) => {
        let now = await open({ policy });
        const moves: [Quality, Quality, boolean][] = [];
        let last = FULL as Quality;
        const look = (byOperator: boolean): void => {
          const { level, heldAt } = now.levels.status(workflow);
          if (level !== last) moves.push([last, level, byOperator]);
          last = level;
          expect(level).toBeGreaterThanOrEqual(LOW);
          expect(level).toBeLessThanOrEqual(heldAt ?? FULL);
        };
        for (const happening of happenings) {
          switch (happening.kind) {
            case "fail":
              await now.fail(happening.times, outOfMemory, happening.at);
              break;
            case "alert":
              await now.settled(now.levels.lower(workflow, { name: happening.name, reason: "" }));
              break;
            case "set":
              await now.set(happening.level, happening.level === FULL ? undefined : happening.holdForMs);
              break;
            case "wait":
              for (let restMs = happening.ms; restMs > 0; restMs -= minute) {
                await now.clock.advance(Math.min(restMs, minute));
                look(false);
              }
              break;
            case "restart": {
              const before = now.levels.status(workflow);
              now.levels.stop();
              now = await open({ ...now, policy });
              const { risesMs, ...after } = now.levels.status(workflow);
              expect({ ...after, risesMs: undefined }).toEqual({ ...before, risesMs: undefined });
              // No later than before, and sooner only by a tenth of what a level takes to rise.
              expect(risesMs === undefined).toBe(before.risesMs === undefined);
              expect((before.risesMs ?? 0) - (risesMs ?? 0)).toBeLessThanOrEqual(4 * minute);
              expect(risesMs ?? 0).toBeLessThanOrEqual(before.risesMs ?? 0);
              break;
            }
          }
          look(happening.kind === "set");
        }
        expect(moves.every(([from, to, byOperator]) => byOperator || Math.abs(from - to) === 1)).toBe(true);
        now.levels.stop();
        expect(now.clock.pendingTimers).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
