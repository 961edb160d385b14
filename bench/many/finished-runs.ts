import { create } from "@bufbuild/protobuf";
import {
  AcceptedSchema,
  AttemptFailedSchema,
  AttemptStartedSchema,
  CancelledSchema,
  CancelRequestedSchema,
  RunMode,
  RunState,
  SucceededSchema,
} from "../../gen/retake/v1/run_pb.js";
import type { Clock, RandomSource } from "../../src/clock.ts";
import { encodeEvent } from "../../src/runs/event-encoder.ts";
import { payloadOf } from "../../src/runs/events.ts";
import { type Journal, type RunOwner, runStream, type StreamAppend } from "../../src/runs/ports/journal.ts";
import { newRunId } from "../../src/runs/run-id.ts";
import type { RunEventBody } from "../../src/runs/run-record.ts";
import { openSqliteStorage } from "../../src/runs/sqlite/index.ts";
import { timestampFromMs } from "../../src/runs/time.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";

export const finishedWorkflows = ["Plain", "Keyed", "Flaky", "Limited"].map(
  (name) => `${WorkflowsService.typeName}/${name}`,
);
export const finishedOwners: readonly RunOwner[] = Array.from({ length: 100 }, (_, number) => ({
  tenant: "default",
  subject: `person ${number}`,
}));

/** One in so many was cancelled, has a key, or is a child of the last run without a parent. */
const cancelledOneIn = 100;
const keyedOneIn = 7;
const childOneIn = 11;

const appendsAtOnce = 2_000;
const retentionMs = 7 * 24 * 3_600_000;

/** Runs that can be asked for. */
export interface FinishedRuns {
  readonly parentRunId: string;
  readonly key: string;
  /** Of the run with that key. */
  readonly keyOwner: RunOwner;
  readonly keyWorkflow: string;
  /** When half of them had been accepted. */
  readonly middleMs: number;
}

/** Fills an empty directory with runs that ended within the last day, by what a server stores its own with. */
export async function fillWithFinishedRuns(
  { directory, clock, random }: { readonly directory: string; readonly clock: Clock; readonly random: RandomSource },
  count: number,
): Promise<FinishedRuns> {
  const storage = openSqliteStorage({ directory, clock, sync: async () => undefined });
  try {
    return await fill(storage.journal, clock.now(), random, count);
  } finally {
    await storage.close();
  }
}

async function fill(journal: Journal, nowMs: number, random: RandomSource, count: number): Promise<FinishedRuns> {
  const startMs = nowMs - 24 * 3_600_000;
  const stepMs = (nowMs - startMs) / (count + 1);
  let parent: { runId: string; owner: RunOwner } | undefined;
  let parentRunId = "";
  let key = "";
  let keyOwner = pick(finishedOwners, 0);
  let keyWorkflow = pick(finishedWorkflows, 0);
  let appends: Promise<void>[] = [];
  for (let number = 0; number < count; number++) {
    const createTimeMs = Math.floor(startMs + number * stepMs);
    const runId = newRunId(createTimeMs, random);
    const isChild = parent !== undefined && number % childOneIn === 0;
    const owner: RunOwner = isChild && parent !== undefined ? parent.owner : pick(finishedOwners, number);
    const workflow = pick(finishedWorkflows, Math.floor(number / finishedOwners.length));
    const ownKey = number % keyedOneIn === 1 ? `key ${number}` : undefined;
    if (ownKey !== undefined && number <= count / 2) {
      key = ownKey;
      keyOwner = owner;
      keyWorkflow = workflow;
    }
    if (isChild && parent !== undefined && number <= count / 2) {
      parentRunId = parent.runId;
    }
    for (const append of appendsOf({
      runId,
      workflow,
      owner,
      createTimeMs,
      key: ownKey,
      parentRunId: isChild ? parent?.runId : undefined,
      cancelled: number % cancelledOneIn === 0,
    })) {
      appends.push(journal.append([append]));
    }
    if (!isChild) {
      parent = { runId, owner };
    }
    if (appends.length >= appendsAtOnce) {
      await Promise.all(appends);
      appends = [];
    }
  }
  await Promise.all(appends);
  return { parentRunId, key, keyOwner, keyWorkflow, middleMs: Math.floor(startMs + (count / 2) * stepMs) };
}

interface FinishedRun {
  readonly runId: string;
  readonly workflow: string;
  readonly owner: RunOwner;
  readonly createTimeMs: number;
  readonly key: string | undefined;
  readonly parentRunId: string | undefined;
  readonly cancelled: boolean;
}

/** What an empty run appends: its beginning, and its end. */
function appendsOf(run: FinishedRun): readonly StreamAppend[] {
  const { runId, workflow, owner, createTimeMs, key, parentRunId, cancelled } = run;
  const input = payloadOf("retake.test.v1.PlainRequest", new Uint8Array(), 0);
  const begun: readonly RunEventBody[] = [
    {
      case: "accepted",
      value: create(AcceptedSchema, {
        runId,
        workflow,
        input,
        owner,
        idempotencyKey: key ?? "",
        parentRunId: parentRunId ?? "",
        childName: parentRunId === undefined ? "" : "child",
        mode: RunMode.DETACHED,
        deadline: timestampFromMs(createTimeMs + 3_600_000),
        contractSha256: new Uint8Array(32).fill(1),
      }),
    },
    {
      case: "attemptStarted",
      value: create(AttemptStartedSchema, {
        attempt: 1,
        token: runId,
        endpoint: "in-process",
        inputSha256: input.sha256,
      }),
    },
  ];
  const ended: readonly RunEventBody[] = cancelled
    ? [
        { case: "cancelRequested", value: create(CancelRequestedSchema, { reason: "no longer needed" }) },
        {
          case: "attemptFailed",
          value: create(AttemptFailedSchema, { attempt: 1 }),
        },
        { case: "cancelled", value: create(CancelledSchema, { reason: "no longer needed", acknowledged: true }) },
      ]
    : [
        {
          case: "succeeded",
          value: create(SucceededSchema, {
            result: payloadOf("retake.test.v1.PlainResponse", new Uint8Array(), 0),
            statistics: { attempts: 1 },
          }),
        },
      ];
  const encode = (bodies: readonly RunEventBody[], after: number): readonly Uint8Array[] =>
    bodies.map((body, index) => encodeEvent(body, after + index + 1, createTimeMs));
  return [
    {
      stream: runStream(runId),
      expectedSequence: 0,
      records: encode(begun, 0),
      state: RunState.RUNNING,
      create: {
        runId,
        workflow,
        owner,
        createTimeMs,
        ...(key === undefined ? {} : { key }),
        ...(parentRunId === undefined ? {} : { parentRunId }),
      },
    },
    {
      stream: runStream(runId),
      expectedSequence: begun.length,
      records: encode(ended, begun.length),
      state: cancelled ? RunState.CANCELLED : RunState.SUCCEEDED,
      ...(parentRunId === undefined ? { retireAtMs: createTimeMs + retentionMs } : {}),
    },
  ];
}

function pick<Value>(values: readonly Value[], number: number): Value {
  const value = values[number % values.length];
  if (value === undefined) {
    throw new RangeError("there is nothing to pick from");
  }
  return value;
}
