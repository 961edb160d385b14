import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import type { Scheduler } from "../../../src/runs/ports/scheduler.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";

const startMs = 1_000_000;

/** What every scheduler has to hold, whatever it is made of. */
export function describeScheduler(name: string, create: (clock: Clock) => Scheduler): void {
  describe(`${name} as a scheduler`, () => {
    let clock: VirtualClock;
    let scheduler: Scheduler;
    let turns: string[];

    async function record(runId: string): Promise<void> {
      turns.push(runId);
    }

    beforeEach(() => {
      clock = createVirtualClock({ startMs });
      scheduler = create(clock);
      turns = [];
    });

    it.each([startMs, startMs - 1, 0, Number.NEGATIVE_INFINITY])(
      "gives a turn as soon as possible when it is wanted at %s",
      async (notBeforeMs) => {
        scheduler.start(record);
        scheduler.wake("a", notBeforeMs, 0);
        await clock.advance(0);

        expect(turns).toEqual(["a"]);
      },
    );

    it("never gives a turn within the call that asks for it", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs, 0);
      expect(turns).toEqual([]);

      await clock.advance(0);
      expect(turns).toEqual(["a"]);
    });

    it("gives a turn at its time and not before", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs + 5000, 0);

      await clock.advance(4999);
      expect(turns).toEqual([]);

      await clock.advance(1);
      expect(turns).toEqual(["a"]);
    });

    it("keeps wishes that are made before it starts", async () => {
      scheduler.wake("now", startMs, 0);
      scheduler.wake("soon", startMs + 10, 0);
      scheduler.wake("later", startMs + 1000, 0);
      await clock.advance(20);
      expect(turns).toEqual([]);

      scheduler.start(record);
      await clock.advance(0);
      expect(turns).toEqual(["now", "soon"]);

      await clock.advance(980);
      expect(turns).toEqual(["now", "soon", "later"]);
    });

    it("prefers the higher priority among what is due, then the older wish", async () => {
      scheduler.wake("late but old", startMs + 10, 0);
      scheduler.wake("low", startMs, -1);
      scheduler.wake("first", startMs, 0);
      scheduler.wake("high", startMs, 7);
      scheduler.wake("second", startMs - 1000, 0);
      await clock.advance(10);
      scheduler.start(record);
      await clock.advance(0);

      expect(turns).toEqual(["high", "late but old", "first", "second", "low"]);
    });

    it("advances a turn when it is wanted sooner", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs + 1000, 0);
      scheduler.wake("a", startMs + 100, 0);

      await clock.advance(99);
      expect(turns).toEqual([]);
      await clock.advance(1);
      expect(turns).toEqual(["a"]);
    });

    it("does not put a turn off when it is wanted later too", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs + 100, 0);
      scheduler.wake("a", startMs + 1000, 0);

      await clock.advance(100);
      expect(turns).toEqual(["a"]);
    });

    it("keeps a due run in its place when it is wanted again", async () => {
      scheduler.wake("a", startMs, 0);
      scheduler.wake("b", startMs, 0);
      scheduler.wake("a", 0, 0);
      scheduler.start(record);
      await clock.advance(0);

      expect(turns).toEqual(["a", "b"]);
    });

    it("takes the priority of the wish that counts", async () => {
      scheduler.wake("a", startMs + 1000, 9);
      scheduler.wake("a", startMs + 10, 1);
      scheduler.wake("b", startMs + 10, 5);
      await clock.advance(10);
      scheduler.start(record);
      await clock.advance(0);

      expect(turns).toEqual(["b", "a"]);
    });

    it("keeps the priority that it knows where a sooner wish names none", async () => {
      scheduler.wake("c", startMs);
      scheduler.wake("a", startMs + 1000, -1);
      scheduler.wake("b", startMs + 1000, 9);
      scheduler.wake("a", 0);
      scheduler.wake("b", 0);
      scheduler.start(record);
      await clock.advance(0);

      expect(turns).toEqual(["b", "c", "a"]);
    });

    it("gives another turn when one is wanted while a turn is under way", async () => {
      const ends: (() => void)[] = [];
      scheduler.start(async (runId) => {
        turns.push(runId);
        await new Promise<void>((resolve) => ends.push(resolve));
      });
      scheduler.wake("a", startMs, 0);
      await clock.advance(0);

      scheduler.wake("a", clock.now() + 10, 0);
      await clock.advance(10);
      for (const end of ends) {
        end();
      }
      await clock.advance(0);

      expect(turns).toEqual(["a", "a"]);
    });

    it("gives another turn when the turn itself asks for it", async () => {
      scheduler.start(async (runId) => {
        turns.push(runId);
        if (turns.length < 3) {
          scheduler.wake(runId, clock.now() + 5, 0);
        }
      });
      scheduler.wake("a", startMs, 0);
      await clock.advance(100);

      expect(turns).toEqual(["a", "a", "a"]);
    });

    it.each([
      ["due", 0],
      ["not due yet", 1000],
    ])("gives no turn to a run that is forgotten when it is %s", async (_, delayMs) => {
      scheduler.start(record);
      scheduler.wake("a", startMs + delayMs, 0);
      scheduler.wake("b", startMs + delayMs, 0);
      scheduler.forget("a");
      scheduler.forget("unknown");
      await clock.advance(2000);

      expect(turns).toEqual(["b"]);
    });

    it("hears a run again that was forgotten", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs + 10, 0);
      scheduler.forget("a");
      scheduler.wake("a", startMs + 20, 0);
      await clock.advance(15);
      expect(turns).toEqual([]);

      await clock.advance(5);
      expect(turns).toEqual(["a"]);
    });

    it("takes a wish for no time at all as none", async () => {
      scheduler.start(record);
      scheduler.wake("a", Number.POSITIVE_INFINITY, 0);
      await clock.runUntilIdle();
      expect(turns).toEqual([]);

      scheduler.wake("a", startMs + 10, 0);
      scheduler.wake("a", Number.POSITIVE_INFINITY, 0);
      await clock.runUntilIdle();
      expect(turns).toEqual(["a"]);
    });

    it("refuses a time that is not a number, naming the run", () => {
      expect(() => scheduler.wake("a", Number.NaN, 0)).toThrow("run a cannot be woken at a time that is not a number");
    });

    it("refuses to start twice, and after it was stopped", async () => {
      scheduler.start(record);
      expect(() => scheduler.start(record)).toThrow("a scheduler starts once");

      const stopped = create(clock);
      await stopped.stop();
      expect(() => stopped.start(record)).toThrow("a scheduler starts once");
    });

    it("gives no turn too early when the wall clock is set back", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs + 1000, 0);
      clock.jump(-600_000);

      await clock.advance(600_999);
      expect(turns).toEqual([]);
      await clock.advance(1);
      expect(turns).toEqual(["a"]);
    });

    it("notices within a minute when the wall clock is set forward", async () => {
      scheduler.start(record);
      scheduler.wake("a", startMs + 24 * 3_600_000, 0);
      clock.jump(24 * 3_600_000);
      await clock.advance(60_000);

      expect(turns).toEqual(["a"]);
    });

    it("stops at once when no turn is under way, and gives no more turns", async () => {
      scheduler.start(record);
      scheduler.wake("due", startMs, 0);
      scheduler.wake("later", startMs + 10, 0);
      await scheduler.stop();
      scheduler.wake("after", startMs, 0);
      await clock.advance(1000);

      expect(turns).toEqual([]);
    });

    it("stops when all turns that are under way have ended", async () => {
      const ends: (() => void)[] = [];
      scheduler.start(() => new Promise<void>((resolve) => ends.push(resolve)));
      scheduler.wake("a", startMs, 0);
      scheduler.wake("b", startMs, 0);
      await clock.advance(0);
      expect(ends.length).toBe(2);

      let stops = 0;
      for (const stop of [scheduler.stop(), scheduler.stop()]) {
        void stop.then(() => {
          stops++;
        });
      }
      ends[0]?.();
      await clock.advance(0);
      expect(stops).toBe(0);

      ends[1]?.();
      await clock.advance(0);
      expect(stops).toBe(2);
    });

    it("gives each run its turn at its time and in order, whatever is wished and forgotten", async () => {
      const run = fc.integer({ min: 0, max: 7 });
      const command = fc.oneof(
        {
          weight: 6,
          arbitrary: fc.record({
            kind: fc.constant("wake" as const),
            run,
            delayMs: fc.integer({ min: -20, max: 60 }),
            priority: fc.integer({ min: -1, max: 1 }),
          }),
        },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget" as const), run }) },
        {
          weight: 2,
          arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 40 }) }),
        },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 60, size: "max" }), async (commands) => {
          const clock = createVirtualClock({ startMs });
          const scheduler = create(clock);
          const turns: [string, number][] = [];
          scheduler.start(async (runId) => {
            turns.push([runId, clock.now()]);
          });
          const expected: [string, number][] = [];
          const wishes = new Map<string, { dueMs: number; priority: number; order: number }>();
          const advance = async (ms: number) => {
            const untilMs = clock.now() + ms;
            const due = [...wishes]
              .filter(([, wish]) => wish.dueMs <= untilMs)
              .sort(([, a], [, b]) => a.dueMs - b.dueMs || b.priority - a.priority || a.order - b.order);
            for (const [runId, { dueMs }] of due) {
              wishes.delete(runId);
              expected.push([runId, dueMs]);
            }
            await clock.advance(ms);
          };
          for (const [order, command] of commands.entries()) {
            if (command.kind === "advance") {
              await advance(command.ms);
              continue;
            }
            const runId = `run ${command.run}`;
            if (command.kind === "forget") {
              wishes.delete(runId);
              scheduler.forget(runId);
              continue;
            }
            // What is due is due: how long ago makes no difference.
            const dueMs = clock.now() + Math.max(0, command.delayMs);
            const { priority } = command;
            if (dueMs < (wishes.get(runId)?.dueMs ?? Number.POSITIVE_INFINITY)) {
              wishes.set(runId, { dueMs, priority, order });
            }
            scheduler.wake(runId, clock.now() + command.delayMs, priority);
          }
          await advance(1000);

          expect(turns).toEqual(expected);
          expect(wishes.size).toBe(0);
        }),
        { numRuns: 200 },
      );
    });
  });
}
