import { create } from "@bufbuild/protobuf";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { systemClock, systemRandom } from "../../src/clock.ts";
import { newRunId } from "../../src/runs/run-id.ts";
import { openDatabase } from "../../src/runs/sqlite/open-database.ts";
import { PlainResponseSchema } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { startBareServer } from "./bare-server.ts";
import type { BenchServer } from "./server.ts";
import { SyncedCommits } from "./synced-commits.ts";

/** The sizes of what an empty run appends: Accepted with AttemptStarted, then Succeeded. */
export const appendBytes = [291, 67] as const;

const retentionMs = 7 * 24 * 3_600_000;

/**
 * What a call costs that is durable twice, written as plainly as possible: grpc-js, and the tables and indexes of the
 * journal, into which it writes the rows that an empty run does. Everything else that a run is, it leaves out.
 */
export async function startDurableReference(directory: string): Promise<BenchServer> {
  const opened = openDatabase(directory, systemClock);
  const { database } = opened;
  const commits = new SyncedCommits(opened, directory);
  database.exec(`
    INSERT INTO workflows (id, name) VALUES (1, 'retake.test.v1.WorkflowsService/Plain');
    INSERT INTO owners (id, tenant, subject) VALUES (1, 'default', 'anonymous');
  `);
  const insertStream = database.prepare(
    "INSERT INTO streams (id, name, last_sequence, state, workflow, owner, key, parent, retire_at) " +
      "VALUES (?, ?, 2, ?, 1, 1, NULL, NULL, NULL)",
  );
  const insertEvents = database.prepare("INSERT INTO events (stream, last, count, data) VALUES (?, ?, ?, ?)");
  const endStream = database.prepare("UPDATE streams SET last_sequence = 3, state = ?, retire_at = ? WHERE id = ?");
  const [started, ended] = appendBytes.map((bytes) => new Uint8Array(bytes).fill(1)) as [Uint8Array, Uint8Array];
  let lastId = systemClock.now() * 1024;

  const server = await startBareServer((_, callback) => {
    const nowMs = systemClock.now();
    const id = Math.max(lastId + 1, nowMs * 1024);
    lastId = id;
    const name = `run/${newRunId(nowMs, systemRandom)}`;
    const start = (): void => {
      insertStream.run(id, name, RunState.RUNNING);
      insertEvents.run(id, 2, 2, started);
    };
    const end = (): void => {
      endStream.run(RunState.SUCCEEDED, nowMs + retentionMs, id);
      insertEvents.run(id, 3, 1, ended);
    };
    commits.add(start, () => commits.add(end, () => callback(null, create(PlainResponseSchema))));
  });
  return {
    port: server.port,
    async close() {
      await server.close();
      await commits.close();
      database.close();
      opened.lock.release();
    },
  };
}
