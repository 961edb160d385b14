import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { Quality, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import { RunEventSchema, RunState, WakeCause } from "../../../gen/retake/v1/run_pb.js";
import { eventText } from "../../../src/cli/display/event-text.ts";

type Body = NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>;

const failure = { code: 14, reason: "GPU_LOST", message: "the card\nfell off the bus" };
const at = timestampFromMs(new Date(2026, 10, 22, 10, 2, 13).getTime());
const second = { seconds: 1n, nanos: 200_000_000 };

const cases: readonly (readonly [Body, string])[] = [
  [
    { case: "accepted", value: { owner: { subject: "ann" }, idempotencyKey: "k", rerunOf: "r", parentRunId: "p" } },
    "accepted from ann, key k, child of p, rerun of r",
  ],
  [{ case: "accepted", value: {} }, "accepted"],
  [{ case: "accepted", value: { parentRunId: "p", fallback: true } }, "accepted, fallback of p"],
  [
    { case: "attemptStarted", value: { attempt: 1, endpoint: "in-process", quality: Quality.FULL } },
    "attempt 1 started on in-process",
  ],
  [
    {
      case: "attemptStarted",
      value: { attempt: 2, endpoint: "gpu:1", quality: Quality.LOW, changedFields: ["steps", "width"] },
    },
    "attempt 2 started on gpu:1, at quality LOW, with other steps and width",
  ],
  [
    { case: "attemptCheckpoint", value: { attempt: 1 } },
    "attempt 1 can be found again: the back-end gave its job a handle",
  ],
  [
    {
      case: "progressSampled",
      value: {
        progress: { stage: "sampling", fraction: 0.529, step: 12, steps: 24, eta: { seconds: 80n }, message: "x" },
      },
    },
    "progress: sampling 52 %, step 12/24, 1 min 20 s left, x",
  ],
  [{ case: "progressSampled", value: {} }, "progress"],
  [{ case: "updateRecorded", value: { update: { typeName: "a.B", size: 7n } } }, "update recorded: a.B, 7 bytes"],
  [
    { case: "stepCompleted", value: { name: "scene-1", executionTime: second, tries: 1 } },
    'step "scene-1" done after 1.2 s',
  ],
  [
    { case: "stepCompleted", value: { name: "scene-1", executionTime: second, tries: 3 } },
    'step "scene-1" done after 1.2 s, at try 3',
  ],
  [{ case: "stepCompleted", value: { name: "s", keptFrom: "r", tries: 1 } }, 'step "s" done before, in run r'],
  [
    { case: "childStarted", value: { name: "upscale", workflow: "a.B/C", childRunId: "id" } },
    'child "upscale" started: a.B/C, run id',
  ],
  [{ case: "childEnded", value: { name: "upscale", state: RunState.SUCCEEDED } }, 'child "upscale" ended SUCCEEDED'],
  [
    { case: "childEnded", value: { name: "upscale", state: RunState.FAILED, failure } },
    'child "upscale" ended FAILED: GPU_LOST: the card fell off the bus',
  ],
  [
    { case: "attemptFailed", value: { attempt: 1, failure, counted: true, executionTime: second } },
    "attempt 1 ended after 1.2 s: GPU_LOST: the card fell off the bus",
  ],
  [
    { case: "attemptFailed", value: { attempt: 1, failure } },
    "attempt 1 ended (spends no attempt): GPU_LOST: the card fell off the bus",
  ],
  [
    { case: "recoveryActed", value: { action: RecoveryAction.FREE_MEMORY, endpoint: "gpu:1" } },
    "recovery FREE_MEMORY on gpu:1: it helped",
  ],
  [
    { case: "recoveryActed", value: { action: RecoveryAction.RESTART, error: "no" } },
    "recovery RESTART: it did not help: no",
  ],
  [
    { case: "faultInjected", value: { attempt: 2, faultId: "drill-1", effect: "status INTERNAL" } },
    "attempt 2 is hit by a drill: status INTERNAL (drill-1)",
  ],
  [{ case: "fallbackSkipped", value: { workflow: "a.B/C", reason: "open" } }, "fallback a.B/C passed over: open"],
  [
    { case: "retryScheduled", value: { wakeAt: at, reason: "attempt 1 failed" } },
    "to be retaken at 2026-11-22 10:02:13: attempt 1 failed",
  ],
  [
    { case: "parked", value: { gate: "breaker", reason: "too many failures", notBefore: at } },
    "parked by breaker: too many failures, not before 2026-11-22 10:02:13",
  ],
  [{ case: "woken", value: { cause: WakeCause.OPERATOR } }, "woken by operator"],
  [{ case: "woken", value: { cause: 99 as WakeCause } }, "woken by something new"],
  [
    { case: "fallbackStarted", value: { workflow: "a.B/C", childRunId: "id", reason: "it failed" } },
    "fallback a.B/C takes over as run id: it failed",
  ],
  [{ case: "fallbackEnded", value: { failure } }, "fallback did not succeed: GPU_LOST: the card fell off the bus"],
  [
    { case: "orphaned", value: { graceUntil: at } },
    "its last caller has gone; it is cancelled at 2026-11-22 10:02:13 unless one comes back",
  ],
  [{ case: "rejoined", value: {} }, "a caller has come back"],
  [
    { case: "cancelRequested", value: { requestedBy: "ann", reason: "wrong prompt" } },
    "cancellation asked for by ann: wrong prompt",
  ],
  [
    {
      case: "succeeded",
      value: { statistics: { attempts: 2, executionTime: second, queueTime: {}, steps: 1, interruptions: 1 } },
    },
    "succeeded: 2 attempts, ran 1.2 s, queued 0 µs, 1 step, 1 interruption",
  ],
  [
    {
      case: "succeeded",
      value: { statistics: { attempts: 1, qualityAchieved: Quality.MEDIUM, fallbackUsed: "a.B/C" } },
    },
    "succeeded: 1 attempt, quality MEDIUM, answered by the fallback a.B/C",
  ],
  [{ case: "succeeded", value: {} }, "succeeded"],
  [{ case: "failed", value: { failure } }, "failed: GPU_LOST: the card fell off the bus"],
  [{ case: "failed", value: {} }, "failed: no reason was given"],
  [{ case: "cancelled", value: { reason: "CALLER_LOST", acknowledged: true } }, "cancelled: CALLER_LOST"],
  [{ case: "cancelled", value: {} }, "cancelled; its back-end had not stopped when the time for that was over"],
  [{ case: "expired", value: { statistics: { attempts: 1 } } }, "expired, its deadline has passed: 1 attempt"],
  [{ case: undefined }, "something that this version does not know"],
];

describe("eventText", () => {
  it.each(cases.map(([body, text]) => ({ body, text })))("tells $body.case as “$text”", ({ body, text }) => {
    expect(eventText(create(RunEventSchema, { event: body }))).toBe(text);
  });

  it("has words for every event that there is", () => {
    const told = new Set(cases.map(([body]) => body.case));
    for (const { localName } of RunEventSchema.oneofs.flatMap(({ fields }) => fields))
      expect(told).toContain(localName);
  });

  it("shows nothing that could steer a terminal", () => {
    const hostile = "\u001b[2J\u0007\r\n\u009b1m";
    const events: Body[] = [
      { case: "accepted", value: { owner: { subject: hostile }, idempotencyKey: hostile } },
      { case: "attemptStarted", value: { endpoint: hostile, changedFields: [hostile] } },
      { case: "progressSampled", value: { progress: { stage: hostile, message: hostile } } },
      { case: "stepCompleted", value: { name: hostile } },
      { case: "childStarted", value: { name: hostile } },
      { case: "childEnded", value: { name: hostile, failure: { reason: hostile, message: hostile } } },
      { case: "recoveryActed", value: { endpoint: hostile, error: hostile } },
      { case: "faultInjected", value: { faultId: hostile, effect: hostile } },
      { case: "fallbackSkipped", value: { reason: hostile } },
      { case: "retryScheduled", value: { reason: hostile } },
      { case: "parked", value: { gate: hostile, reason: hostile } },
      { case: "fallbackStarted", value: { reason: hostile } },
      { case: "cancelRequested", value: { requestedBy: hostile, reason: hostile } },
      { case: "cancelled", value: { reason: hostile } },
    ];
    for (const body of events) expect(eventText(create(RunEventSchema, { event: body }))).not.toMatch(/\p{Cc}/u);
  });
});
