import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AcceptedSchema,
  AttemptStartedSchema,
  ExpiredSchema,
  RunEventSchema,
  StepCompletedSchema,
  SucceededSchema,
} from "../../gen/retake/v1/run_pb.js";
import { encodeEvent } from "../../src/runs/event-encoder.ts";
import type { RunEventBody } from "../../src/runs/run-record.ts";
import { timestampFromMs } from "../../src/runs/time.ts";

const bytes = fc.uint8Array({ maxLength: 200 });
/** Any well-formed text, up to lengths that take two and three bytes to tell. */
const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constantFrom("", "x".repeat(127), "é".repeat(64), "漢".repeat(6000)),
);
const count = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 127, 128, 2 ** 31 - 1));
const time = fc.option(
  fc.record({ seconds: fc.bigInt({ min: 0n, max: 2n ** 40n }), nanos: fc.integer({ min: 0, max: 999_999_999 }) }),
  { nil: undefined },
);
const payload = fc.option(
  fc.record({ typeName: text, sha256: bytes, size: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }) }),
  { nil: undefined },
);
const statistics = fc.record({
  attempts: count,
  retries: count,
  interruptions: count,
  executionTime: time,
  queueTime: time,
  fallbackUsed: text,
  qualityAchieved: fc.integer({ min: 0, max: 5 }),
  steps: count,
});

/** Protobuf-es leaves out what is undefined only where the property is absent. */
function given<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T;
}

const sequences = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
/** Milliseconds since the epoch, also with fractions. */
const times = fc.oneof(fc.integer({ min: 0, max: 2 ** 43 }), fc.double({ min: 0, max: 2 ** 43, noNaN: true }));

const events = fc.oneof(
  fc
    .record({
      runId: text,
      workflow: text,
      input: payload,
      owner: fc.option(fc.record({ tenant: text, subject: text }), { nil: undefined }),
      idempotencyKey: text,
      mode: fc.integer({ min: 0, max: 3 }),
      parentRunId: text,
      childName: text,
      rerunOf: text,
      deadline: time,
      contractSha256: bytes,
      priority: fc.integer({ min: -100, max: 100 }),
      minQuality: fc.integer({ min: 0, max: 5 }),
      traceparent: text,
      metadata: fc.dictionary(fc.stringMatching(/^[a-z-]{1,20}$/), text, { maxKeys: 5, noNullPrototype: true }),
      discardSteps: fc.boolean(),
      fallback: fc.boolean(),
      fallbackDepth: count,
    })
    .map((value) => ({ case: "accepted" as const, value: create(AcceptedSchema, given(value)) })),
  fc
    .record({
      attempt: count,
      token: text,
      endpoint: text,
      quality: fc.integer({ min: 0, max: 5 }),
      changedFields: fc.array(text, { maxLength: 4 }),
      inputSha256: bytes,
      policyRevision: text,
    })
    .map((value) => ({ case: "attemptStarted" as const, value: create(AttemptStartedSchema, value) })),
  fc
    .record({ name: text, inputSha256: bytes, result: payload, executionTime: time, tries: count, keptFrom: text })
    .map((value) => ({ case: "stepCompleted" as const, value: create(StepCompletedSchema, given(value)) })),
  fc
    .record({ result: payload, statistics: fc.option(statistics.map(given), { nil: undefined }) })
    .map((value) => ({ case: "succeeded" as const, value: create(SucceededSchema, given(value)) })),
  statistics.map((value) => ({ case: "expired" as const, value: create(ExpiredSchema, { statistics: given(value) }) })),
);

describe("encodeEvent", () => {
  it("writes what toBinary writes, byte for byte", () => {
    fc.assert(
      fc.property(sequences, times, events, (sequence, timeMs, event) => {
        const message = create(RunEventSchema, { sequence: BigInt(sequence), time: timestampFromMs(timeMs), event });
        const body = message.event as RunEventBody;
        expect(Buffer.from(encodeEvent(body, sequence, timeMs))).toEqual(
          Buffer.from(toBinary(RunEventSchema, message)),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("keeps what it has returned when the next event is written", () => {
    const body = (runId: string): RunEventBody => ({ case: "accepted", value: create(AcceptedSchema, { runId }) });
    const first = encodeEvent(body("first"), 1, 1_000);
    const copy = Buffer.from(first);
    encodeEvent(body("second"), 1, 1_000);
    expect(Buffer.from(first)).toEqual(copy);
  });
});
