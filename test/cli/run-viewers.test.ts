import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RunEventSchema, RunSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunProgressSchema } from "../../gen/retake/v1/run_service_pb.js";
import { barViewer, jsonViewer, lineViewer, quietViewer } from "../../src/cli/run-viewers.ts";
import type { RunUpdate } from "../../src/client/index.ts";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { Screen } from "./display/screen.ts";
import { createIo } from "./harness.ts";
import { contractsWithoutReflection } from "./reflecting.ts";

const at = timestampFromMs(new Date(2026, 10, 22, 10, 2, 13).getTime());
const step: RunUpdate = {
  kind: "event",
  event: create(RunEventSchema, {
    sequence: 4n,
    time: at,
    event: { case: "stepCompleted", value: { name: "one", tries: 1 } },
  }),
};
const started: RunUpdate = {
  kind: "event",
  event: create(RunEventSchema, {
    sequence: 3n,
    time: at,
    event: { case: "attemptStarted", value: { attempt: 1, endpoint: "gpu:1" } },
  }),
};
const progress: RunUpdate = {
  kind: "progress",
  progress: create(RunProgressSchema, { attempt: 1, lastSequence: 4n, progress: { stage: "sampling", fraction: 0.5 } }),
};
const lost = {
  error: new ConnectError("connect ECONNREFUSED 127.0.0.1:1", Code.Unavailable),
  attempt: 1,
  delayMs: 1_500,
};

describe("lineViewer", () => {
  it("prints one line for each event, none for progress, and tells losses apart from them", () => {
    const { io, stdout, stderr } = createIo();
    const viewer = lineViewer(io);
    for (const update of [started, progress, step]) viewer.show(update);
    viewer.lost(lost);
    viewer.found();
    expect(stdout()).toBe(
      '2026-11-22 10:02:13     3  attempt 1 started on gpu:1\n2026-11-22 10:02:13     4  step "one" done\n',
    );
    expect(stderr()).toBe(
      "retake: connection lost (nothing listens there); trying again in 1.5 s\nretake: connected again\n",
    );
  });
});

describe("jsonViewer", () => {
  it("prints each update as one line of protobuf JSON", async () => {
    const { io, stdout, stderr } = createIo();
    const viewer = jsonViewer(contractsWithoutReflection(), io);
    await viewer.show(step);
    await viewer.show(progress);
    viewer.lost(lost);
    expect(
      stdout()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { event: { sequence: "4", time: expect.any(String), stepCompleted: { name: "one", tries: 1 } } },
      { progress: { attempt: 1, lastSequence: "4", progress: { stage: "sampling", fraction: 0.5 } } },
    ]);
    expect(stderr()).toContain("connection lost");
  });
});

describe("quietViewer", () => {
  it("says nothing", () => {
    const viewer = quietViewer();
    viewer.show(step);
    viewer.lost(lost);
    viewer.found();
  });
});

describe("barViewer", () => {
  function setUp(env = {}) {
    const clock = createVirtualClock();
    const test = createIo({ isTTY: true, columns: 60, clock, env });
    const createTime = timestampFromMs(clock.now());
    const viewer = barViewer(create(RunSchema, { state: RunState.QUEUED, createTime, lastSequence: 1n }), test.io);
    return { ...test, clock, viewer, lines: () => Screen.of(test.stdout(), 60).lines() };
  }

  it("draws a bar, above which the steps that are done stay", async () => {
    const { viewer, clock, lines } = setUp();
    expect(lines()).toEqual(["queued  0 s"]);
    await viewer.show(started);
    await clock.advance(1_200);
    expect(lines()).toEqual(["attempt 1  1 s"]);
    await viewer.show(progress);
    await viewer.show(step);
    expect(lines()).toEqual([
      '2026-11-22 10:02:13     4  step "one" done',
      "sampling  ###############---------------   50 %  1 s",
    ]);
    viewer[Symbol.dispose]();
    expect(lines()).toEqual(['2026-11-22 10:02:13     4  step "one" done']);
  });

  it("draws blocks where the terminal knows them", async () => {
    const { viewer, clock, lines } = setUp({ LC_ALL: "", LANG: "de_DE.UTF-8" });
    await viewer.show(progress);
    await clock.advance(1_200);
    expect(lines()[0]).toContain("█░");
  });

  it("says that the connection is lost until it is back", async () => {
    const { viewer, clock, lines } = setUp();
    await viewer.show(progress);
    viewer.lost(lost);
    await clock.advance(1_200);
    expect(lines()).toEqual(["connection lost, trying again: nothing listens there  1 s"]);
    viewer.found();
    await clock.advance(1_200);
    expect(lines()[0]).toMatch(/^sampling /);
  });
});
