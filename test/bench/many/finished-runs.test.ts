import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type FinishedRuns,
  fillWithFinishedRuns,
  finishedOwners,
  finishedWorkflows,
} from "../../../bench/many/finished-runs.ts";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { systemClock, systemRandom } from "../../../src/clock.ts";
import { decodeEvent } from "../../../src/runs/events.ts";
import { type Journal, runStream } from "../../../src/runs/ports/journal.ts";
import { reduceRun } from "../../../src/runs/run-record.ts";
import { openSqliteStorage } from "../../../src/runs/sqlite/index.ts";

const count = 1_000;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-bench-test-"));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

async function filled(look: (journal: Journal, runs: FinishedRuns) => Promise<void>): Promise<void> {
  const runs = await fillWithFinishedRuns({ directory, clock: systemClock, random: systemRandom }, count);
  const { journal } = openSqliteStorage({ directory, clock: systemClock });
  try {
    await look(journal, runs);
  } finally {
    await journal.close();
  }
}

describe("fillWithFinishedRuns", () => {
  it("stores runs whose events lead to the state that they are found by", async () => {
    await filled(async (journal) => {
      const rows = await journal.listRuns({}, { limit: count + 1 });
      expect(rows).toHaveLength(count);
      for (const row of rows) {
        const stream = runStream(row.runId);
        const run = reduceRun((await journal.read(stream, 0, 100)).map((record) => decodeEvent(stream, record)));
        expect(run).toMatchObject({ state: row.state, lastSequence: row.lastSequence });
      }
      expect(new Set(rows.map(({ state }) => state))).toEqual(new Set([RunState.SUCCEEDED, RunState.CANCELLED]));
    });
  });

  it("gives every filter something to find", async () => {
    await filled(async (journal, { parentRunId, key, keyOwner, keyWorkflow, middleMs }) => {
      const found = async (filter: Parameters<Journal["listRuns"]>[0]): Promise<number> =>
        (await journal.listRuns(filter, { limit: count })).length;
      expect(await journal.findRunByKey(keyOwner, keyWorkflow, key)).toBeDefined();
      expect(await found({ parentRunId })).toBeGreaterThan(0);
      expect(await found({ createdBeforeMs: middleMs })).toBeCloseTo(count / 2, -1);
      for (const workflow of finishedWorkflows) {
        expect(await found({ workflow })).toBeGreaterThan(0);
      }
      for (const owner of finishedOwners) {
        expect(await found({ owner })).toBeGreaterThan(0);
      }
    });
  });
});
