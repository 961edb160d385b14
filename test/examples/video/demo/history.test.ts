import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RunEventSchema } from "retake/gen/retake/v1/run_pb.js";
import { expect, it } from "vitest";
import { historyLines } from "../../../../examples/video/demo/history.ts";

const events = [
  { sequence: 9n, time: timestampFromMs(1_000_000), event: { case: "accepted", value: { owner: { subject: "ann" } } } },
  { sequence: 10n, time: timestampFromMs(1_000_004), event: { case: "attemptStarted", value: { attempt: 1 } } },
  { sequence: 11n, time: timestampFromMs(1_012_340), event: { case: "stepCompleted", value: { name: "scene-1" } } },
] as const;

it("tells what happened when, counted from the first event, in columns", () => {
  const lines = historyLines(
    events.map((event) => create(RunEventSchema, event)),
    Number.POSITIVE_INFINITY,
  );
  expect(lines[0]).toMatch(/^ # {5}time {2}event$/);
  expect(lines[1]).toMatch(/^ 9 {3}0\.00 s {2}accepted from ann/);
  expect(lines[2]).toMatch(/^10 {3}0\.00 s {2}attempt 1 started/);
  expect(lines[3]).toMatch(/^11 {2}12\.34 s {2}step "scene-1" done/);
});

it("keeps to the width of the terminal", () => {
  const lines = historyLines(
    events.map((event) => create(RunEventSchema, event)),
    28,
  );
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(28);
  expect(lines[3]).toMatch(/^11 {2}12\.34 s {2}step.*…$/);
});
