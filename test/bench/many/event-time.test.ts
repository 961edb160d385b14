import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { eventTimeMs } from "../../../bench/many/event-time.ts";
import { WatchRunResponseSchema } from "../../../gen/retake/v1/run_service_pb.js";
import { timestampFromMs } from "../../../src/runs/time.ts";

function message(init: MessageInitShape<typeof WatchRunResponseSchema>): Uint8Array {
  return toBinary(WatchRunResponseSchema, create(WatchRunResponseSchema, init));
}

describe("eventTimeMs", () => {
  it.each([0, 1, 999, 1_800_000_000_000, 1_800_000_000_001])("finds the time %d of an event", (ms) => {
    const event = { sequence: 300n, time: timestampFromMs(ms), event: { case: "updateRecorded" as const, value: {} } };
    expect(eventTimeMs(message({ update: { case: "event", value: event } }))).toBeCloseTo(ms, 6);
  });

  it("finds none in a snapshot of progress", () => {
    expect(
      eventTimeMs(message({ update: { case: "progress", value: { attempt: 1, lastSequence: 2n } } })),
    ).toBeUndefined();
  });

  it("finds none in an empty message", () => {
    expect(eventTimeMs(new Uint8Array())).toBeUndefined();
  });
});
