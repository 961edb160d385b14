import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Admission } from "../../../src/runs/load/admission.ts";

/** Offers runs of these priorities, and answers those that are taken. */
function offer(admission: Admission, priorities: readonly number[]): number[] {
  return priorities.filter((priority) => admission.admit(priority));
}

describe("Admission", () => {
  const mixed = [-100, 0, 0, 0, 0, 0, 0, 5, 99, 100];

  it("takes everything as long as nothing is to be refused", () => {
    const admission = new Admission();
    expect(offer(admission, mixed)).toEqual(mixed);
    expect(admission.next(0)).toBe(10);
    expect(offer(admission, mixed)).toEqual(mixed);
  });

  it("takes what nobody had offered before as long as nothing is to be refused", () => {
    const admission = new Admission();
    offer(admission, [0, 5]);
    admission.next(0);

    expect(offer(admission, [-100, -7, 0, 3, 100])).toEqual([-100, -7, 0, 3, 100]);
  });

  it("takes what lies above all that it refuses", () => {
    const admission = new Admission();
    offer(admission, [-5, 5]);
    admission.next(0.5);

    expect(offer(admission, [-6, -5, -4, 0, 5])).toEqual([-4, 0, 5]);
  });

  it.each([
    [0.1, [0, 0, 0, 0, 0, 0, 5, 99, 100]],
    [0.4, [0, 0, 0, 5, 99, 100]],
    [0.7, [5, 99, 100]],
    [0.8, [99, 100]],
    [0.9, [100]],
    [1, [100]],
  ])("refuses the lowest priorities first: %d of all", (share, taken) => {
    const admission = new Admission();
    offer(admission, mixed);
    admission.next(share);

    expect(offer(admission, mixed)).toEqual(taken);
  });

  it("refuses evenly among equals", () => {
    const admission = new Admission();
    offer(admission, [0, 0, 0, 0]);
    admission.next(0.5);

    expect([0, 0, 0, 0, 0, 0].map((priority) => admission.admit(priority))).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
  });

  it("refuses what nobody had offered before, if it is lower than what is refused", () => {
    const admission = new Admission();
    offer(admission, [0, 0]);
    admission.next(0.5);

    expect(admission.admit(-1)).toBe(false);
    expect(admission.admit(1)).toBe(true);
  });

  it("never refuses the highest priority", () => {
    const admission = new Admission();
    offer(admission, [100, 100, 100]);
    admission.next(1);
    expect(offer(admission, [99, 100, 100])).toEqual([100, 100]);

    offer(admission, [0]);
    admission.next(1);
    expect(offer(admission, [0, 1, 99, 100])).toEqual([100]);
  });

  it("goes on as before after a time in which nobody came, until nothing is to be refused any more", () => {
    const admission = new Admission();
    offer(admission, [0, 0, 5, 5]);
    admission.next(0.5);
    expect(admission.next(0.45)).toBe(0);
    expect(offer(admission, [0, 5])).toEqual([5]);
    admission.next(0);
    admission.next(0);

    expect(offer(admission, [0, 5])).toEqual([0, 5]);
  });

  it("refuses the share that it is told to, and nothing above a priority that it takes", () => {
    const priorities = fc.array(fc.integer({ min: -100, max: 99 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(priorities, fc.double({ min: 0, max: 1, noNaN: true }), (offered, share) => {
        const admission = new Admission();
        offer(admission, offered);
        admission.next(share);
        const taken = offer(admission, offered);
        const refused = offered.length - taken.length;

        expect(Math.abs(refused - share * offered.length)).toBeLessThanOrEqual(1);
        const lowest = Math.min(...taken, 100);
        const higher = offered.filter((priority) => priority > lowest);
        expect(taken.filter((priority) => priority > lowest)).toEqual(higher);
      }),
    );
  });
});
