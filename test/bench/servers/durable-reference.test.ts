import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createClient } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { startDurableReference } from "../../../bench/servers/durable-reference.ts";
import type { BenchServer } from "../../../bench/servers/server.ts";
import { startWorkflows } from "../../../bench/servers/workflows.ts";
import { createGrpcTransport } from "../../../src/transport/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";

const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) {
    await rm(directory, { recursive: true, force: true });
  }
});

describe("the durable reference", () => {
  it("writes the rows that an empty run does, and nothing else", async () => {
    const real = await rowsAfterTwoCalls((directory) => startWorkflows({ directory, steps: 0 }));
    const reference = await rowsAfterTwoCalls(startDurableReference);
    expect(reference.rows).toEqual(real.rows);
    expect(reference.eventBytes.length).toBe(real.eventBytes.length);
    reference.eventBytes.forEach((bytes, index) => {
      // Times and durations take a few bytes more or less.
      expect(Math.abs(bytes - (real.eventBytes[index] ?? 0))).toBeLessThanOrEqual(12);
    });
  });
});

/** What the calls have left in the database, but for what differs from run to run. */
async function rowsAfterTwoCalls(start: (directory: string) => Promise<BenchServer>) {
  const directory = await mkdtemp(join(tmpdir(), "retake-bench-test-"));
  directories.push(directory);
  const server = await start(directory);
  const transport = createGrpcTransport({ target: `127.0.0.1:${server.port}` });
  const client = createClient(WorkflowsService, transport);
  await client.plain({});
  await client.plain({});
  transport.close();
  await server.close();
  const database = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
  try {
    const rows = {
      workflows: database.prepare("SELECT * FROM workflows").all(),
      owners: database.prepare("SELECT * FROM owners").all(),
      streams: database
        .prepare(
          "SELECT length(name) AS name, last_sequence, state, workflow, owner, key, parent, length(retire_at) AS retire_at, " +
            "length(id) AS id FROM streams WHERE id >= 0",
        )
        .all(),
      events: database.prepare("SELECT last, count FROM events WHERE stream >= 0").all(),
      payloads: database.prepare("SELECT count(*) AS payloads FROM payloads").get(),
    };
    const events = database.prepare("SELECT length(data) AS bytes FROM events WHERE stream >= 0").all();
    return { rows, eventBytes: events.map(({ bytes }) => Number(bytes)) };
  } finally {
    database.close();
  }
}
