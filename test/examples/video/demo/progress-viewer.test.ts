import { create } from "@bufbuild/protobuf";
import type { RunUpdate } from "retake/client";
import { RunEventSchema, RunSchema } from "retake/gen/retake/v1/run_pb.js";
import { RunProgressSchema } from "retake/gen/retake/v1/run_service_pb.js";
import { createSeededRandom, createVirtualClock } from "retake/testing";
import { expect, it } from "vitest";
import { progressViewer } from "../../../../examples/video/demo/progress-viewer.ts";

function progress(step: number, fraction: number): RunUpdate {
  const value = { stage: "drawing", step, steps: 3, fraction, message: `scene ${step}` };
  return { kind: "progress", progress: create(RunProgressSchema, { attempt: 1, progress: value }) };
}

function event(name: "stepCompleted" | "attemptFailed"): RunUpdate {
  const told =
    name === "stepCompleted"
      ? ({ case: name, value: { name: "scene-1" } } as const)
      : ({ case: name, value: { attempt: 1, failure: { reason: "OUT_OF_PAINT", message: "no blue" } } } as const);
  return { kind: "event", event: create(RunEventSchema, { sequence: 3n, event: told }) };
}

/** What is written while a run goes through these updates. */
async function written(isTTY: boolean, updates: readonly RunUpdate[]): Promise<string> {
  let text = "";
  const output = {
    write(chunk: string) {
      text += chunk;
    },
  };
  const clock = createVirtualClock();
  const io = {
    stdout: output,
    stderr: output,
    stdin: (async function* () {})(),
    isTTY,
    columns: 60,
    rows: 24,
    onResize: () => () => {},
    env: { LANG: "en_US.UTF-8" },
    clock,
    random: createSeededRandom(1),
    signal: new AbortController().signal,
  };
  using viewer = progressViewer(create(RunSchema), io);
  for (const update of updates) {
    await viewer.show(update);
    await clock.advance(1000);
  }
  return text;
}

const updates = [progress(1, 0), progress(1, 0.2), event("stepCompleted"), progress(2, 0.4), event("attemptFailed")];

it("writes a line for each step that begins where nobody looks at a terminal", async () => {
  expect(await written(false, updates)).toBe("drawing 0 %, step 1/3, scene 1\ndrawing 40 %, step 2/3, scene 2\n");
});

it("draws a bar on a terminal, over which only what goes wrong stays", async () => {
  const text = await written(true, updates);
  expect(text).toMatch(/drawing {2}█+░+ +40 % {2}step 2\/3/);
  expect(text).toMatch(/OUT_OF_PAINT: no blue\n/);
  expect(text).not.toContain("scene-1");
});
