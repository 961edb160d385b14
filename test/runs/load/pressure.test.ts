import { describe, expect, it } from "vitest";
import { Pressure } from "../../../src/runs/load/pressure.ts";

/** The shares after each of these readings. */
function shares(readings: readonly number[]): number[] {
  const pressure = new Pressure();
  return readings.map((trouble) => {
    pressure.update(trouble);
    return pressure.share;
  });
}

describe("Pressure", () => {
  it("is none below the threshold", () => {
    expect(shares([0, 0.5, 0.99, 0.999])).toEqual([0, 0, 0, 0]);
  });

  it("does not mind a single reading in trouble", () => {
    expect(shares([9, 0, 9, 0.9, 9, 0])).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("grows as long as there is trouble, faster when it is worse, up to everything", () => {
    expect(shares([1, 1, 1, 2, 100, 100, 100, 100])).toEqual([0, 0.1, 0.2, 0.4, 0.7, 1, 1, 1]);
  });

  it("grows again at once when the trouble comes back before it has gone", () => {
    expect(shares([1, 1, 0, 1])).toEqual([0, 0.1, 0.05, 0.15]);
  });

  it("shrinks when the trouble is over, more slowly than it grew", () => {
    expect(shares([2, 2, 0, 0, 0, 0, 0])).toEqual([0, 0.2, 0.15, 0.1, 0.05, 0, 0]);
  });

  it("stays as it is while a signal sways about its threshold", () => {
    expect(shares([1, 1, 0.9, 0.81, 0.99, 0.8, 0.79])).toEqual([0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05]);
  });
});
