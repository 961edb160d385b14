import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { RunEventSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { timelineLines, timelineOf } from "../../../src/cli/display/timeline.ts";

type Event = NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>;

/** Events at so many ms. */
function events(...all: readonly (readonly [atMs: number, event: Event])[]) {
  return all.map(([atMs, event], index) =>
    create(RunEventSchema, { sequence: BigInt(index + 1), time: timestampFromMs(1_000_000 + atMs), event }),
  );
}

const accepted: Event = { case: "accepted", value: {} };
const attempt = (n: number): Event => ({ case: "attemptStarted", value: { attempt: n } });
const step = (name: string, tookMs: number): Event => ({
  case: "stepCompleted",
  value: { name, executionTime: durationFromMs(tookMs) },
});
const options = { nowMs: 1_001_000, width: 70, unicode: false };

describe("timelineOf", () => {
  const history = events(
    [0, accepted],
    [100, attempt(1)],
    [300, step("frames", 150)],
    [400, { case: "attemptFailed", value: { attempt: 1, failure: { reason: "GPU_LOST", message: "gone" } } }],
    [400, { case: "retryScheduled", value: {} }],
    [600, { case: "woken", value: {} }],
    [600, { case: "parked", value: { gate: "pause", reason: "paused by ana" } }],
    [700, { case: "woken", value: {} }],
    [700, attempt(2)],
    [750, { case: "childStarted", value: { name: "audio", childRunId: "c1" } }],
    [850, { case: "childEnded", value: { name: "audio", state: RunState.SUCCEEDED } }],
    [1000, { case: "succeeded", value: {} }],
  );

  it("tells waits, attempts, steps and children, with what came of them", () => {
    expect(
      timelineOf(history).map(({ label, startMs, endMs, note }) => [
        label.trim(),
        startMs - 1_000_000,
        (endMs ?? 0) - 1_000_000,
        note,
      ]),
    ).toEqual([
      ["queued", 0, 100, ""],
      ["attempt 1", 100, 400, "GPU_LOST: gone"],
      ["step frames", 150, 300, ""],
      ["backing off", 400, 600, ""],
      ["parked", 600, 700, "paused by ana"],
      ["attempt 2", 700, 1000, ""],
      ["child audio", 750, 850, "run c1 SUCCEEDED"],
    ]);
  });

  it("leaves open what goes on, and keeps a cancelled attempt to its end", () => {
    expect(timelineOf(history.slice(0, 2)).at(-1)).toMatchObject({ label: "attempt 1", endMs: undefined });
    const cancelled = timelineOf(
      events(
        [0, accepted],
        [0, attempt(1)],
        [100, { case: "cancelRequested", value: {} }],
        [500, { case: "cancelled", value: {} }],
      ),
    );
    expect(cancelled).toMatchObject([{ label: "attempt 1", endMs: 1_000_500 }]);
  });

  it("is drawn with a bar a row, on the scale of the whole run", () => {
    expect(timelineLines(timelineOf(history), { ...options, width: 76 })).toEqual([
      "queued         100 ms  ----",
      "attempt 1      300 ms     ###########                       GPU_LOST: gone",
      "  step frames  150 ms       ######",
      "backing off    200 ms                -------",
      "parked         100 ms                       ----            paused by ana",
      "attempt 2      300 ms                          ###########",
      "  child audio  100 ms                            ####       run c1 SUCCEEDED",
    ]);
  });

  it.each([30, 60, 80, 200])("fits a width of %i", (width) => {
    for (const unicode of [true, false]) {
      const lines = timelineLines(timelineOf(history), { ...options, width, unicode });
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(Math.max(width, 40));
    }
  });

  it("leaves out the middle of a long one, and takes a step before its attempt for a clock that was set", () => {
    const many = events(
      [0, accepted],
      [1, attempt(1)],
      ...Array.from({ length: 200 }, (_, n) => [n + 2, step(`s${n}`, 5000)] as const),
    );
    const rows = timelineOf(many);
    expect(Math.min(...rows.map(({ startMs }) => startMs))).toBe(1_000_000);
    const lines = timelineLines(rows, options);
    expect(lines).toHaveLength(61);
    expect(lines[30]).toMatch(/^… \d+ more …$/);
  });

  it("shows what goes on with a plus", () => {
    const [line] = timelineLines(timelineOf(events([0, accepted])), options);
    expect(line).toMatch(/^queued {2}1\.0 s\+ {2}-+$/);
  });
});
