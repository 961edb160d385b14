import { describe, expect, it } from "vitest";
import { lineChart, timeTicks, valueTicks } from "../../../src/cli/report/line-chart.ts";

const chart = {
  ...{ id: "runs", title: "Ended runs", unit: "{run}/min", firstMs: Date.UTC(2026, 10, 27, 9), stepMs: 60_000 },
  lines: [{ name: "succeeded", values: [1, 2, Number.NaN, 4, Number.NaN, 3, 1], colour: 2 }],
};

describe("lineChart", () => {
  it("has gaps where nothing is known, and a dot for what stands alone", () => {
    const { text } = lineChart(chart);
    expect(text.match(/<polyline/g)).toHaveLength(2);
    expect(text.match(/<circle/g)).toHaveLength(1);
    expect(text).not.toContain("NaN");
  });

  it("says in words and in numbers what it shows", () => {
    const { text } = lineChart(chart);
    expect(text).toContain('aria-labelledby="runs-title runs-desc"');
    expect(text).toContain(
      "Ended runs from 27 Nov 2026, 09:00 to 27 Nov 2026, 09:06 UTC. succeeded: 1 to 4, 2.2 on average, 1 last.",
    );
    expect(text).toMatch(/succeeded<\/th><td class="number">1<\/td><td class="number">2\.2<\/td>/);
  });

  it("is nothing where nothing is known", () => {
    expect(lineChart({ ...chart, lines: [{ name: "a", values: [Number.NaN], colour: 0 }] }).text).toBe("");
  });

  it("keeps every point within the picture, whatever the numbers are", () => {
    for (const most of [0, 1e-7, 0.3, 1, 7, 99, 1_001, 5e11]) {
      const { text } = lineChart({ ...chart, lines: [{ name: "a", values: [0, most, most / 3], colour: 0 }] });
      const [, points = ""] = /polyline[^>]*points="([^"]+)"/.exec(text) ?? [];
      for (const point of points.split(" ")) {
        const [x = Number.NaN, y = Number.NaN] = point.split(",").map(Number);
        expect(x).toBeGreaterThanOrEqual(74);
        expect(x).toBeLessThanOrEqual(620);
        expect(y).toBeGreaterThanOrEqual(9.5);
        expect(y).toBeLessThanOrEqual(184);
      }
    }
  });
});

describe("valueTicks", () => {
  it.each([
    [10, "{run}/min", [0, 2.5, 5, 7.5, 10]],
    [3, "{run}", [0, 1, 2, 3]],
    [0, "s", [0, 1]],
    [110, "s", [0, 30, 60, 90, 120]],
    [300 * 2 ** 20, "By", [0, 100, 200, 300].map((each) => each * 2 ** 20)],
    [0.12, "1", [0, 0.05, 0.1, 0.15]],
  ])("marks up to %d of %s at numbers that people like", (most, unit, ticks) => {
    expect(valueTicks(most, unit)).toEqual(ticks);
  });
});

describe("timeTicks", () => {
  const start = Date.UTC(2026, 10, 27, 9, 7);
  const texts = (ms: number) => timeTicks(start, start + ms).map(({ text }) => text);

  it("marks times that clocks and calendars have names for", () => {
    expect(texts(3_600_000)).toEqual(["09:10", "09:20", "09:30", "09:40", "09:50", "10:00"]);
    expect(texts(86_400_000)).toEqual(["12:00", "18:00", "28 Nov", "06:00"]);
    expect(texts(7 * 86_400_000)).toEqual(["29 Nov", "1 Dec", "3 Dec"]);
  });
});
