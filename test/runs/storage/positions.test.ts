import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Positions, positionAt, timeAt } from "../../../src/runs/storage/positions.ts";

/** Positions over a set of taken ones, as after a restart when some are given. */
function over(taken: Set<number>): Positions {
  return new Positions(Math.max(-1, ...taken), (from, before) => {
    const within = [...taken].filter((position) => position >= from && position < before);
    return within.length === 0 ? undefined : Math.max(...within);
  });
}

describe("Positions", () => {
  it("never gives a position twice, whatever the clock does and however often it starts anew", () => {
    const time = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(3, 3.5, 1_000_000));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(time, fc.integer({ min: 1, max: 1_500 }), fc.boolean()), { maxLength: 12 }),
        (steps) => {
          const taken = new Set<number>();
          let positions = over(taken);
          for (const [timeMs, count, restart] of steps) {
            if (restart) {
              positions = over(taken);
            }
            for (let index = 0; index < count; index++) {
              const position = positions.next(timeMs);
              expect(taken.has(position)).toBe(false);
              expect(position).toBeGreaterThanOrEqual(positionAt(timeMs));
              taken.add(position);
            }
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("goes on within the millisecond that it had come to before a restart", () => {
    const first = over(new Set()).next(7);
    expect(over(new Set([first])).next(7)).toBe(first + 1);
  });

  it("orders by time for as long as dates are exact", () => {
    const farMs = Date.UTC(2240, 0, 1);
    expect(Number.isSafeInteger(positionAt(farMs + 1))).toBe(true);
    expect(positionAt(farMs)).toBeLessThan(positionAt(farMs + 1));
    expect(positionAt(-5)).toBe(0);
    expect(positionAt(Number.MAX_VALUE)).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe("timeAt", () => {
  it("gives the time that a position belongs to", () => {
    expect([timeAt(positionAt(1_767_225_600_000)), timeAt(positionAt(7) + 1_023), timeAt(0)]).toEqual([
      1_767_225_600_000, 7, 0,
    ]);
  });
});
