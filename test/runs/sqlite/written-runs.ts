import { create } from "@bufbuild/protobuf";
import { AcceptedSchema, AttemptStartedSchema, RunMode, RunState } from "../../../gen/retake/v1/run_pb.js";
import { attemptFailed, failed, succeeded } from "../../../src/runs/bodies.ts";
import { encodeEvent } from "../../../src/runs/event-encoder.ts";
import { payloadOf, runStatistics } from "../../../src/runs/events.ts";
import { createFailure } from "../../../src/runs/failure.ts";
import { runStream, type StreamAppend } from "../../../src/runs/ports/journal.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { acceptedRun, applyNext, type RunEventBody, type RunRecord } from "../../../src/runs/run-record.ts";
import type { SqliteStorage } from "../../../src/runs/sqlite/index.ts";

export const owner = { tenant: "default", subject: "ada" };
export const workflow = "test.v1.Service/Work";

export interface WrittenRun {
  readonly state?: RunState.SUCCEEDED | RunState.FAILED | RunState.RUNNING;
  readonly input?: Uint8Array;
  readonly result?: Uint8Array;
  readonly createTimeMs?: number;
  readonly retireAtMs?: number;
}

/** Writes a run as the engine does: real events and payloads, each in its append. */
export async function writeRun(storage: SqliteStorage, runId: string, run: WrittenRun = {}): Promise<RunRecord> {
  const { journal, payloads } = storage;
  const { state = RunState.SUCCEEDED, createTimeMs = 1_000, retireAtMs = Number.MAX_SAFE_INTEGER } = run;
  const put = async (bytes: Uint8Array) => {
    await payloads.put(runId, bytes).stored;
    return payloadOf("test.v1.Text", payloadDigest(bytes), bytes.length);
  };
  const input = await put(run.input ?? Buffer.from(`input of ${runId}`));
  const accepted = create(AcceptedSchema, { runId, workflow, input, owner, mode: RunMode.DETACHED });
  const record = acceptedRun(accepted, createTimeMs);
  await journal.append([
    {
      stream: runStream(runId),
      expectedSequence: 0,
      records: [encodeEvent({ case: "accepted", value: accepted }, 1, createTimeMs)],
      create: { runId, workflow, owner, createTimeMs },
      state: record.state,
    },
  ]);
  const commit = async (bodies: readonly RunEventBody[]) => {
    const expectedSequence = record.lastSequence;
    const records = bodies.map((body) => {
      const timeMs = createTimeMs + record.lastSequence;
      applyNext(record, body, timeMs);
      return encodeEvent(body, record.lastSequence, timeMs);
    });
    const append: StreamAppend = { stream: runStream(runId), expectedSequence, records, state: record.state };
    await journal.append([record.state >= RunState.SUCCEEDED ? { ...append, retireAtMs } : append]);
  };
  const started = create(AttemptStartedSchema, { attempt: 1, token: "t", endpoint: "in-process" });
  await commit([{ case: "attemptStarted", value: started }]);
  if (state === RunState.SUCCEEDED) {
    await commit([succeeded(await put(run.result ?? Buffer.from(`result of ${runId}`)), runStatistics(record))]);
  } else if (state === RunState.FAILED) {
    const failure = createFailure({ code: 13, reason: "BROKEN", message: "it broke" });
    await commit([attemptFailed(1, failure, true, 1), failed(failure, runStatistics(record))]);
  }
  return record;
}

/** Bytes that are kept in a file, different for each seed. */
export function largeBytes(seed: number): Uint8Array {
  return new Uint8Array(300_000).fill(seed);
}
