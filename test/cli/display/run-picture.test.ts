import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { RunEventSchema, RunSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { RunProgressSchema } from "../../../gen/retake/v1/run_service_pb.js";
import { RunPicture } from "../../../src/cli/display/run-picture.ts";
import type { RunUpdate } from "../../../src/client/index.ts";

const startMs = 1_000_000;

function picture(run: MessageInitShape<typeof RunSchema> = {}): RunPicture {
  const init = { state: RunState.QUEUED, createTime: timestampFromMs(startMs), lastSequence: 1n, ...run };
  return new RunPicture(create(RunSchema, init), startMs);
}

let sequence = 1n;
function event(body: NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>): RunUpdate {
  return { kind: "event", event: create(RunEventSchema, { sequence: ++sequence, event: body }) };
}

function progress(fraction: number, etaSeconds?: number): RunUpdate {
  const eta = etaSeconds === undefined ? {} : { eta: { seconds: BigInt(etaSeconds) } };
  return { kind: "progress", progress: create(RunProgressSchema, { progress: { fraction, ...eta } }) };
}

describe("RunPicture", () => {
  it.each([
    [{ state: RunState.QUEUED }, "queued"],
    [
      { state: RunState.QUEUED, wait: { gate: "workflow", reason: "limit 1: it is next" } },
      "queued: limit 1: it is next",
    ],
    [{ state: RunState.RUNNING, statistics: { attempts: 2 } }, "attempt 2"],
    [{ state: RunState.BACKING_OFF, wait: { notBefore: timestampFromMs(startMs + 4_000) } }, "to be retaken in 4.0 s"],
    [{ state: RunState.PARKED, wait: { reason: "paused" } }, "parked: paused"],
    [{ state: RunState.DELEGATED, fallbacks: [{ workflow: "a.B/C" }] }, "fallback a.B/C works"],
    [{ state: RunState.CANCELLING }, "stopping"],
    [{ state: RunState.SUCCEEDED }, "succeeded"],
  ])("begins where the run stands: %o", (run, phase) => {
    expect(picture(run).at(startMs).phase).toBe(phase);
  });

  it.each([
    [{ case: "attemptStarted", value: { attempt: 3 } } as const, "attempt 3"],
    [{ case: "attemptFailed", value: {} } as const, "queued"],
    [{ case: "woken", value: {} } as const, "queued"],
    [
      { case: "retryScheduled", value: { wakeAt: timestampFromMs(startMs + 9_000) } } as const,
      "to be retaken in 7.0 s",
    ],
    [
      { case: "parked", value: { reason: "breaker open", notBefore: timestampFromMs(startMs + 62_000) } } as const,
      "parked: breaker open in 1 min 00 s",
    ],
    [{ case: "fallbackStarted", value: { workflow: "a.B/C" } } as const, "fallback a.B/C works"],
    [{ case: "cancelRequested", value: {} } as const, "stopping"],
  ])("follows events: %o", (body, phase) => {
    const drawn = picture();
    drawn.apply(event(body), startMs);
    expect(drawn.at(startMs + 2_000).phase).toBe(phase);
  });

  it("counts a time down, and forgets progress with the attempt that made it", () => {
    const drawn = picture({ state: RunState.RUNNING });
    drawn.apply(progress(0.5, 60), startMs);
    expect(drawn.at(startMs + 15_000)).toMatchObject({ etaMs: 45_000, elapsedMs: 15_000, progress: { fraction: 0.5 } });
    expect(drawn.at(startMs + 90_000).etaMs).toBe(0);
    drawn.apply(event({ case: "stepCompleted", value: {} }), startMs);
    expect(drawn.at(startMs).progress?.fraction).toBe(0.5);
    drawn.apply(event({ case: "progressSampled", value: { progress: { fraction: 0.6 } } }), startMs);
    expect(drawn.at(startMs).progress?.fraction).toBe(0.6);
    drawn.apply(event({ case: "attemptFailed", value: {} }), startMs);
    expect(drawn.at(startMs)).toMatchObject({ progress: undefined, etaMs: undefined });
  });

  it("leaves out what had happened before it was begun", () => {
    const drawn = picture({ state: RunState.RUNNING, lastSequence: 1_000_000n, progress: { fraction: 0.9 } });
    drawn.apply(event({ case: "progressSampled", value: { progress: { fraction: 0.1 } } }), startMs);
    drawn.apply(event({ case: "attemptFailed", value: {} }), startMs);
    expect(drawn.at(startMs)).toMatchObject({ phase: "attempt 1", progress: { fraction: 0.9 } });
  });

  it("shows a notice instead of what the run does", () => {
    const drawn = picture({ state: RunState.RUNNING, progress: { fraction: 0.9 } });
    expect(drawn.at(startMs, "connection lost")).toMatchObject({ phase: "connection lost", progress: undefined });
  });
});
