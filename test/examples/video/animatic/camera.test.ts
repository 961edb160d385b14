import { describe, expect, it } from "vitest";
import { cameraMoves, reach, viewAt } from "../../../../examples/video/animatic/camera.ts";

const moments = Array.from({ length: 101 }, (_, index) => index / 100);

describe("viewAt", () => {
  it.each(cameraMoves)("stays within the picture, no closer than the reach: %s", (move) => {
    for (const moment of moments) {
      const { left, top, size } = viewAt(move, moment);
      expect(size).toBeGreaterThanOrEqual(1 / reach - 1e-9);
      for (const edge of [left, top]) {
        expect(edge).toBeGreaterThanOrEqual(0);
        expect(edge + size).toBeLessThanOrEqual(1 + 1e-9);
      }
    }
  });

  it("zooms by the same ratio from frame to frame", () => {
    const ratios = [0.1, 0.5, 0.9].map((at) => viewAt("zoom-in", at + 0.01).size / viewAt("zoom-in", at).size);
    expect(Math.max(...ratios) - Math.min(...ratios)).toBeLessThan(1e-9);
    expect(viewAt("zoom-in", 0).size).toBe(1);
    expect(viewAt("zoom-out", 1).size).toBe(1);
  });

  it.each([
    ["pan-right", "left", 1],
    ["pan-left", "left", -1],
    ["tilt-down", "top", 1],
    ["tilt-up", "top", -1],
  ] as const)("moves steadily for %s", (move, edge, direction) => {
    const steps = moments.slice(1).map((at, index) => viewAt(move, at)[edge] - viewAt(move, moments[index] ?? 0)[edge]);
    for (const step of steps) expect(step * direction).toBeCloseTo((1 - 1 / 1.14) / 100, 9);
  });
});
