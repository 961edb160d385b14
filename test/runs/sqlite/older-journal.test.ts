import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fromBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { RunService, RunView } from "../../../gen/retake/v1/run_service_pb.js";
import { systemClock } from "../../../src/clock.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { checkStorage, compact, openSqliteStorage, restore } from "../../../src/runs/sqlite/index.ts";
import { migrations } from "../../../src/runs/sqlite/migrations.ts";
import { anonymous } from "../../../src/security/index.ts";
import { createTestServer } from "../../../src/testing/test-server.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { PlainResponseSchema, WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "../../server/handlers.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const { signal } = new AbortController();

/** A backup of a journal that retake 0.1.0 has written: format 1, before databases could give pages back. */
const fixture = join(import.meta.dirname, "fixtures", "format-1.tar");
const writtenMs = Date.parse("2026-11-27T10:37:00Z");
const runIds = {
  succeeded: "01a21c95-3b91-7597-91da-1c5546bf5ebf",
  large: "01a21c95-3b9d-7a4b-b956-2c961cfb37d8",
  retried: "01a21c95-3ba5-76bb-9f5d-a8d47c01487d",
  failed: "01a21c95-3baa-7d24-817e-31d5e11565c6",
  open: "01a21c95-3bad-7eea-987b-2b9522a53637",
} as const;

async function restored(): Promise<string> {
  const directory = temporaryDirectory();
  await restore({ file: fixture, directory, clock: systemClock, signal });
  return directory;
}

function pragma(directory: string, name: string): unknown {
  const database = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
  try {
    return database.prepare(`PRAGMA ${name}`).get()?.[name];
  } finally {
    database.close();
  }
}

describe("a journal of format 1", () => {
  it("is restored as it was, and sound", async () => {
    const directory = await restored();

    expect(pragma(directory, "user_version")).toBe(1);
    expect(pragma(directory, "auto_vacuum")).toBe(0);
    expect(await checkStorage({ directory, clock: systemClock, signal })).toMatchObject({
      writtenBy: "retake 0.1.0",
      journalFormat: 1,
      counts: { runs: 6n, openRuns: 1n, events: 27n, payloads: 5n, files: 1n },
      problemCount: 0n,
      leftoverCount: 0n,
    });
  });

  it("comes to the newest format when it is opened, and can then give pages back", async () => {
    const directory = await restored();
    await openSqliteStorage({ directory, clock: systemClock }).close();

    expect(pragma(directory, "user_version")).toBe(migrations.at(-1)?.version);
    expect(pragma(directory, "auto_vacuum")).toBe(2);
    const report = await checkStorage({ directory, clock: systemClock, signal });
    expect(report).toMatchObject({ counts: { runs: 6n, events: 27n, payloads: 5n }, problemCount: 0n });
  });

  it("goes on in a server: ended runs answer, and the open one ends", async () => {
    const directory = await restored();
    const clock = createVirtualClock({ startMs: writtenMs + 60_000 });
    const storage = openSqliteStorage({ directory, clock });
    const { server } = createTestServer({
      clock,
      // Their owner was the caller without credentials, whoever that was.
      authenticators: [{ authenticate: () => ({ ...anonymous, level: AccessLevel.ADMIN }) }],
      openStorage: () => ({ ...storage, artifacts: createMemoryStorage({ clock }).artifacts }),
    });
    onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
    server.implement(WorkflowsService, handlers());
    await server.listen();
    const runs = createClient(RunService, server.transport);
    const states: RunState[] = [];
    const kinds: (string | undefined)[] = [];
    for await (const { update } of runs.watchRun({ runId: runIds.open })) {
      if (update.case === "event") kinds.push(update.value.event.case);
    }
    for (const runId of Object.values(runIds)) {
      const { run } = await runs.getRun({ runId });
      states.push(run?.state ?? RunState.UNSPECIFIED);
    }
    const { SUCCEEDED, FAILED } = RunState;
    expect(states).toEqual([SUCCEEDED, SUCCEEDED, SUCCEEDED, FAILED, SUCCEEDED]);
    expect(kinds.at(-1)).toBe("succeeded");
    const { run } = await runs.getRun({ runId: runIds.large, view: RunView.FULL });
    const result = fromBinary(PlainResponseSchema, run?.result?.value?.value ?? new Uint8Array());
    expect(result.text).toBe("x".repeat(300_000));
    const again = await runs.startRun({
      workflow: "retake.test.v1.WorkflowsService/Plain",
      input: { case: "json", value: '{"text":"kept"}' },
      idempotencyKey: "the-key",
    });
    expect(again).toMatchObject({ joined: true, run: { runId: runIds.succeeded } });
  });

  it("is rewritten by hand where it was too large for that at a start", async () => {
    const directory = await restored();
    const { bytesBefore, bytesAfter } = compact(directory, systemClock);

    expect(bytesAfter).toBeLessThanOrEqual(bytesBefore + 4_096);
    expect(pragma(directory, "auto_vacuum")).toBe(2);
    expect(await checkStorage({ directory, clock: systemClock, signal })).toMatchObject({ problemCount: 0n });
  });

  it("is refused by a program that knows less, which names the one that wrote it", async () => {
    const directory = await restored();
    const database = new DatabaseSync(join(directory, "retake.db"));
    database.exec("PRAGMA user_version = 900; UPDATE meta SET value = 'retake 9.1.0' WHERE name = 'written_by'");
    database.close();
    const before = readFileSync(join(directory, "retake.db"));
    const refused = /written by retake 9\.1\.0 \(format 900\), and this is retake .* start the newer one/;

    expect(() => openSqliteStorage({ directory, clock: systemClock })).toThrow(refused);
    await expect(checkStorage({ directory, clock: systemClock, signal })).rejects.toThrow(refused);
    expect(readFileSync(join(directory, "retake.db"))).toEqual(before);
  });
});
