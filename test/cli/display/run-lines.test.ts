import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { RunSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { runLines } from "../../../src/cli/display/run-lines.ts";

describe("runLines", () => {
  it.each([
    [2, ["a", "b"], ["a, b"]],
    [12, ["a", "b"], ["a, b, and 10 more"]],
    [1, [], []],
  ])("names who holds what a run waits for, and counts the rest: %d of them", (holderCount, holders, expected) => {
    const wait = { gate: "workflow", reason: "it is next", position: 1, holderCount, holders };
    const lines = runLines(create(RunSchema, { runId: "run", state: RunState.QUEUED, wait }), 0);

    const held = lines.filter((line) => line.startsWith("Held by"));
    expect(held.map((line) => line.slice("Held by".length).trim())).toEqual(expected);
  });

  it("tells what came of each fallback that a run has turned to", () => {
    const run = create(RunSchema, {
      runId: "run",
      workflow: "a.B/A",
      state: RunState.DELEGATED,
      wait: { gate: "fallback", reason: "its fallback a.B/F works in its place, as run three" },
      fallbacks: [
        { workflow: "a.B/C", outcome: { case: "skipped", value: "it cannot be\nasked" } },
        { workflow: "a.B/D", runId: "one", outcome: { case: "failed", value: { reason: "LOST", message: "it fell" } } },
        { workflow: "a.B/E", runId: "two", outcome: { case: "answered", value: true } },
        { workflow: "a.B/F", runId: "three" },
      ],
    });
    expect(runLines(run, 0)).toEqual([
      "Run           run",
      "Workflow      a.B/A",
      "State         DELEGATED",
      "Waits for     fallback: its fallback a.B/F works in its place, as run three",
      "Fallbacks     a.B/C: passed over, it cannot be asked",
      "              a.B/D, run one: LOST: it fell",
      "              a.B/E, run two: answered",
      "              a.B/F, run three: turned to",
    ]);
  });
});
