import { describe, expect, it } from "vitest";
import { showClock, showDistance, showDuration, showSeconds, showTime } from "../../../src/cli/display/times.ts";

describe("durations", () => {
  it.each([
    [0, "0 µs"],
    [0.25, "250 µs"],
    [0.949, "949 µs"],
    [0.95, "1 ms"],
    [999.4, "999 ms"],
    [999.5, "1.0 s"],
    [9_940, "9.9 s"],
    [9_950, "10 s"],
    [59_499, "59 s"],
    [59_500, "1 min 00 s"],
    [185_000, "3 min 05 s"],
    [3_599_600, "1 h 00 min"],
    [7_380_000, "2 h 03 min"],
    [86_400_000, "1 d 0 h"],
    [385_200_000, "4 d 11 h"],
  ])("of %d ms are shown as %j", (ms, shown) => {
    expect(showDuration(ms)).toBe(shown);
  });

  it("that change are shown in whole seconds", () => {
    expect([-5, 400, 4_600, 59_600].map(showSeconds)).toEqual(["0 s", "0 s", "5 s", "1 min 00 s"]);
  });
});

describe("times", () => {
  it("are local", () => {
    const ms = new Date(2026, 10, 2, 9, 5, 7).getTime();
    expect(showTime(ms)).toBe("2026-11-02 09:05:07");
    expect(showClock(ms)).toBe("09:05:07");
  });

  it("are told from where we stand", () => {
    expect(showDistance(5_000, 1_000)).toBe("in 4.0 s");
    expect(showDistance(1_000, 5_000)).toBe("4.0 s ago");
    expect(showDistance(1_000, 1_999)).toBe("now");
  });
});
