import { create } from "@bufbuild/protobuf";
import { AcceptedSchema, RunMode, RunState, RunStatisticsSchema } from "../../../gen/retake/v1/run_pb.js";
import { expired } from "../../../src/runs/bodies.ts";
import { encodeEvent } from "../../../src/runs/event-encoder.ts";
import type { Journal } from "../../../src/runs/index.ts";
import { creation, owner, workflow } from "../../runs/ports/storage-harness.ts";

/** Writes a run that expired in the queue. */
export async function writeEnded(journal: Journal, runId: string, createTimeMs: number, endMs: number): Promise<void> {
  const accepted = create(AcceptedSchema, { runId, workflow, owner, mode: RunMode.DETACHED });
  const records = [
    encodeEvent({ case: "accepted", value: accepted }, 1, createTimeMs),
    encodeEvent(expired(create(RunStatisticsSchema)), 2, endMs),
  ];
  await journal.append([creation(runId, { createTimeMs, state: RunState.EXPIRED, records })]);
}
