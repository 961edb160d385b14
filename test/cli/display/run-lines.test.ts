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
});
