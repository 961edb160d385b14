import type { RunUpdate } from "retake/client";
import type { Run } from "retake/gen/retake/v1/run_pb.js";
import { progressText } from "../../../src/cli/display/progress-text.ts";
import { type CliIo, writeLines } from "../../../src/cli/io.ts";
import { barViewer, lineViewer, type RunViewer } from "../../../src/cli/run-viewers.ts";

/** Shows how far a run is: on a terminal by the command line's bar, elsewhere by a line for each step that begins. */
export function progressViewer(run: Run, io: CliIo): RunViewer {
  const viewer = io.isTTY ? barViewer(run, io) : stepLines(io);
  return {
    // The history tells of the steps that are done, the bar is about the one that is not.
    show: (update) => (isStep(update) ? undefined : viewer.show(update)),
    lost: (reconnection) => viewer.lost(reconnection),
    found: () => viewer.found(),
    [Symbol.dispose]: () => viewer[Symbol.dispose](),
  };
}

function stepLines(io: CliIo): RunViewer {
  let shown = 0;
  return {
    ...lineViewer(io),
    show(update) {
      if (update.kind !== "progress") return;
      const { progress } = update.progress;
      if (progress === undefined || progress.step === shown) return;
      shown = progress.step;
      writeLines(io.stdout, progressText(progress));
    },
  };
}

function isStep(update: RunUpdate): boolean {
  return update.kind === "event" && update.event.event.case === "stepCompleted";
}
