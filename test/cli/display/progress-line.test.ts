import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProgressSchema } from "../../../gen/retake/v1/run_pb.js";
import { renderProgressLine } from "../../../src/cli/display/progress-line.ts";
import { textWidth } from "../../../src/cli/display/text-width.ts";

function render(progress: MessageInitShape<typeof ProgressSchema> | undefined, width: number, unicode = false): string {
  return renderProgressLine(
    {
      phase: "attempt 1",
      progress: progress && create(ProgressSchema, progress),
      elapsedMs: 65_000,
      etaMs: progress?.eta === undefined ? undefined : 80_000,
    },
    width,
    unicode,
  );
}

const full = {
  stage: "sampling",
  fraction: 0.5,
  step: 12,
  steps: 24,
  message: "frame 12 of the second scene",
  eta: {},
};

describe("renderProgressLine", () => {
  it("shows everything where there is room, the bar no longer than 30", () => {
    expect(render(full, 120)).toBe(
      "sampling  ###############---------------   50 %  step 12/24  1 min 20 s left  frame 12 of the second scene",
    );
    expect(render(full, 120, true)).toContain("███████████████░░░░░░░░░░░░░░░");
  });

  it.each([
    [78, "sampling  ####----   50 %  step 12/24  1 min 20 s left  frame 12 of the secon…"],
    [60, "sampling  #######-------   50 %  step 12/24  1 min 20 s left"],
    [38, "sampling  ####-----   50 %  step 12/24"],
    [36, "sampling  #########----------   50 %"],
    [20, "sampling   50 %"],
    [10, "sampling"],
    [5, "samp…"],
  ])("leaves out what matters least in %i columns", (width, line) => {
    expect(render(full, width)).toBe(line);
  });

  it("shows what is known: without a fraction no bar, without an ETA the time so far", () => {
    expect(render({ stage: "loading" }, 80)).toBe("loading  1 min 05 s");
    expect(render({ step: 3, message: "warming up" }, 80)).toBe("attempt 1  step 3  1 min 05 s  warming up");
    expect(render(undefined, 80)).toBe("attempt 1  1 min 05 s");
  });

  it.each([
    [Number.NaN, "x  1 min 05 s"],
    [-3, "x  ------------------------------    0 %  1 min 05 s"],
    [7, "x  ##############################  100 %  1 min 05 s"],
    [0.999, "x  #############################-   99 %  1 min 05 s"],
  ])("makes the best of a fraction of %d", (fraction, line) => {
    expect(render({ stage: "x", fraction }, 80)).toBe(line);
  });

  it("is one line that fits, whatever a back-end reports and however wide the terminal is", () => {
    const reported = fc.record({
      stage: fc.string({ unit: "binary", maxLength: 40 }),
      message: fc.string({ unit: "binary", maxLength: 200 }),
      fraction: fc.option(fc.double(), { nil: undefined }),
      step: fc.integer({ min: 0, max: 1_000_000 }),
      steps: fc.integer({ min: 0, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(reported, fc.integer({ min: 1, max: 200 }), fc.boolean(), ({ fraction, ...rest }, width, unicode) => {
        const line = render(fraction === undefined ? rest : { ...rest, fraction }, width, unicode);
        expect(textWidth(line)).toBeLessThanOrEqual(width);
        expect(line).not.toMatch(/\p{Cc}/u);
      }),
    );
  });
});
