import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AccessRuleEventSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import {
  AlertEventSchema,
  AlertRuleEventSchema,
  NoticeEventSchema,
  SilenceEventSchema,
} from "../../../gen/retake/v1/alert_event_pb.js";
import { ApiKeyEventSchema } from "../../../gen/retake/v1/api_key_pb.js";
import { BreakerEventSchema } from "../../../gen/retake/v1/breaker_pb.js";
import { FaultEventSchema } from "../../../gen/retake/v1/fault_pb.js";
import { PolicyOverrideEventSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import { QualityEventSchema } from "../../../gen/retake/v1/quality_event_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { StorageReport } from "../../../gen/retake/v1/storage_pb.js";
import { OutboxEventSchema } from "../../../gen/retake/v1/webhook_pb.js";
import { WorkflowEventSchema } from "../../../gen/retake/v1/workflow_event_pb.js";
import { systemClock } from "../../../src/clock.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { checkStorage, openSqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { payloadFileName } from "../../../src/runs/sqlite/payload-file-names.ts";
import { said, startProcess } from "./processes/index.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { largeBytes, writeRun } from "./written-runs.ts";

const { signal } = new AbortController();
const large = payloadFileName(payloadDigest(largeBytes(1)));
const inputOfA = Buffer.from(payloadDigest(Buffer.from("input of a"))).toString("hex");

const outboxEvent = create(OutboxEventSchema, { event: { case: "stored", value: { run: { runId: "d" } } } });
const breakerEvent = create(BreakerEventSchema, { event: { case: "closed", value: {} } });
const keyEvent = create(ApiKeyEventSchema, { event: { case: "revoked", value: { requestedBy: "ada" } } });
const policyEvent = create(PolicyOverrideEventSchema, { event: { case: "set", value: { requestedBy: "ada" } } });
const pauseEvent = create(WorkflowEventSchema, { event: { case: "paused", value: { requestedBy: "ada" } } });
const time = { seconds: 1n, nanos: 0 };
const alertEvent = create(AlertEventSchema, { time, event: { case: "acknowledged", value: {} } });
const alertRuleEvent = create(AlertRuleEventSchema, { time, name: "Hot" });
const silenceEvent = create(SilenceEventSchema, { time, silence: { silenceId: "s" } });
const noticeEvent = create(NoticeEventSchema, { time });
const accessEvent = create(AccessRuleEventSchema, { event: { case: "deleted", value: { requestedBy: "ada" } } });
const faultEvent = create(FaultEventSchema, { event: { case: "removed", value: { faultId: "f" } } });
const qualityEvent = create(QualityEventSchema, { event: { case: "raised", value: { level: 5 } } });

/** A directory with a run that has succeeded, one that has failed, one that is open, and one with a file; closed. */
async function filled(): Promise<string> {
  const directory = temporaryDirectory();
  const storage = openSqliteStorage({ directory, clock: systemClock });
  await writeRun(storage, "a");
  await writeRun(storage, "b", { state: RunState.FAILED });
  await writeRun(storage, "c", { state: RunState.RUNNING });
  await writeRun(storage, "d", { result: largeBytes(1) });
  await storage.journal.append([
    { stream: "other", expectedSequence: 0, records: [Uint8Array.of(1), Uint8Array.of(2)] },
    { stream: "breaker/x.Y/Z@1", expectedSequence: 0, records: [toBinary(BreakerEventSchema, breakerEvent)] },
    { stream: "outbox/d", expectedSequence: 0, records: [toBinary(OutboxEventSchema, outboxEvent)] },
    { stream: "pause/x.Y/Z", expectedSequence: 0, records: [toBinary(WorkflowEventSchema, pauseEvent)] },
    { stream: "faults", expectedSequence: 0, records: [toBinary(FaultEventSchema, faultEvent)] },
    { stream: "quality/x.Y/Z", expectedSequence: 0, records: [toBinary(QualityEventSchema, qualityEvent)] },
    { stream: "api-key/k", expectedSequence: 0, records: [toBinary(ApiKeyEventSchema, keyEvent)] },
    { stream: "policy/x.Y/Z", expectedSequence: 0, records: [toBinary(PolicyOverrideEventSchema, policyEvent)] },
    { stream: "access/r", expectedSequence: 0, records: [toBinary(AccessRuleEventSchema, accessEvent)] },
    { stream: "alerts/Hot", expectedSequence: 0, records: [toBinary(AlertEventSchema, alertEvent)] },
    { stream: "alert-rules/Hot", expectedSequence: 0, records: [toBinary(AlertRuleEventSchema, alertRuleEvent)] },
    { stream: "silences/s", expectedSequence: 0, records: [toBinary(SilenceEventSchema, silenceEvent)] },
    { stream: "notices/page/a", expectedSequence: 0, records: [toBinary(NoticeEventSchema, noticeEvent)] },
  ]);
  await storage.close();
  return directory;
}

function check(directory: string): Promise<StorageReport> {
  return checkStorage({ directory, clock: systemClock, signal });
}

function change(directory: string, sql: string): void {
  const database = new DatabaseSync(join(directory, "retake.db"));
  database.exec(sql);
  database.close();
}

const eventsOf = (run: string) => `stream = (SELECT id FROM streams WHERE name = 'run/${run}')`;
const damage: readonly (readonly [what: string, sql: string, message: RegExp, runId: string])[] = [
  [
    "an event that is no event",
    `UPDATE events SET data = x'ffff' WHERE ${eventsOf("a")} AND last = 2`,
    /record 2 of stream run\/a is no event/,
    "a",
  ],
  [
    "an event with another's number",
    `UPDATE events SET data = (SELECT data FROM events WHERE ${eventsOf("a")} AND last = 1) WHERE ${eventsOf("a")} AND last = 2`,
    /record 2 of stream run\/a holds event 1/,
    "a",
  ],
  [
    "an event that is missing",
    `DELETE FROM events WHERE ${eventsOf("a")} AND last = 2`,
    /behind record 1 comes a row with records 3 to 3/,
    "a",
  ],
  [
    "a last event that is missing",
    `DELETE FROM events WHERE ${eventsOf("a")} AND last = 3`,
    /it has 2 records, and the index says 3/,
    "a",
  ],
  [
    "an event too many",
    `INSERT INTO events SELECT stream, 4, 1, data FROM events WHERE ${eventsOf("a")} AND last = 3; UPDATE streams SET last_sequence = 4 WHERE name = 'run/a'`,
    /record 4 of stream run\/a holds event 3/,
    "a",
  ],
  [
    "events that cannot follow each other",
    `UPDATE events SET data = x'0802b20100' WHERE ${eventsOf("a")} AND last = 2`,
    /cannot follow event 1 of run a, which is QUEUED/,
    "a",
  ],
  [
    "records that do not fit into their row",
    `UPDATE events SET data = x'ffffff7f00' WHERE ${eventsOf("b")} AND count = 2`,
    /2 records do not fit into 5 bytes/,
    "b",
  ],
  [
    "no events",
    `DELETE FROM events WHERE ${eventsOf("a")}; UPDATE streams SET last_sequence = 0 WHERE name = 'run/a'`,
    /run\/a: it has no events/,
    "a",
  ],
  [
    "another state in the index",
    "UPDATE streams SET state = 1 WHERE name = 'run/a'",
    /its state is SUCCEEDED by its events, and QUEUED by the index/,
    "a",
  ],
  [
    "another owner in the index",
    "UPDATE owners SET subject = 'eve'",
    /its owner is default\/ada by its events, and default\/eve by the index/,
    "a",
  ],
  [
    "another workflow in the index",
    "UPDATE workflows SET name = 'x.Y/Z'",
    /its workflow is test\.v1\.Service\/Work by its events, and x\.Y\/Z/,
    "a",
  ],
  [
    "another key in the index",
    "UPDATE streams SET key = 'k' WHERE name = 'run/a'",
    /its key is {2}by its events, and k by the index/,
    "a",
  ],
  [
    "an open run that retention would delete",
    "UPDATE streams SET retire_at = 5 WHERE name = 'run/c'",
    /run\/c: it is open, and retention would delete it/,
    "c",
  ],
  [
    "a payload that is missing",
    `DELETE FROM payloads WHERE sha256 = x'${inputOfA}'`,
    new RegExp(`run/a: payload ${inputOfA} of event 1 is not there`),
    "a",
  ],
  [
    "a payload that is missing of an open run",
    "DELETE FROM payloads WHERE run = 'c'",
    /run\/c: payload \w+ of event 1 is not there/,
    "c",
  ],
  [
    "a payload with other bytes",
    `UPDATE payloads SET data = x'00', size = 1 WHERE sha256 = x'${inputOfA}'`,
    /has bytes of another digest/,
    "a",
  ],
  [
    "a payload of another size",
    `UPDATE payloads SET size = 3 WHERE sha256 = x'${inputOfA}'`,
    /has 10 bytes, and the table says 3/,
    "a",
  ],
  [
    "a record that is missing of another stream",
    `DELETE FROM events WHERE stream = (SELECT id FROM streams WHERE name = 'other')`,
    /other: it has 0 records, and the index says 2/,
    "",
  ],
  [
    "an end that nobody could be told",
    "UPDATE events SET data = x'ffff' WHERE stream = (SELECT id FROM streams WHERE name = 'outbox/d')",
    /outbox\/d: record 1 is no event/,
    "",
  ],
  [
    "a breaker of which nobody can tell whether it is open",
    "UPDATE events SET data = x'1001' WHERE stream = (SELECT id FROM streams WHERE name LIKE 'breaker/%')",
    /breaker\/x\.Y\/Z@1: record 1 is no event/,
    "",
  ],
  [
    "a pause without what has happened",
    "UPDATE events SET data = x'' WHERE stream = (SELECT id FROM streams WHERE name LIKE 'pause/%')",
    /pause\/x\.Y\/Z: record 1 is no event/,
    "",
  ],
  [
    "a drill that nobody can read",
    "UPDATE events SET data = x'ffff' WHERE stream = (SELECT id FROM streams WHERE name = 'faults')",
    /faults: record 1 is no event/,
    "",
  ],
  [
    "a quality that is no event",
    "UPDATE events SET data = x'ff' WHERE stream = (SELECT id FROM streams WHERE name LIKE 'quality/%')",
    /quality\/x\.Y\/Z: record 1 is no event/,
    "",
  ],
  [
    "an override of a policy without what has happened",
    "UPDATE events SET data = x'' WHERE stream = (SELECT id FROM streams WHERE name LIKE 'policy/%')",
    /policy\/x\.Y\/Z: record 1 is no event/,
    "",
  ],
  [
    "an API key that nobody can read",
    "UPDATE events SET data = x'ff' WHERE stream = (SELECT id FROM streams WHERE name LIKE 'api-key/%')",
    /api-key\/k: record 1 is no event/,
    "",
  ],
  ...["alerts/Hot", "alert-rules/Hot", "silences/s", "notices/page/a"].map(
    (stream) =>
      [
        `an entry of ${stream} without what it is about`,
        `UPDATE events SET data = x'' WHERE stream = (SELECT id FROM streams WHERE name = '${stream}')`,
        new RegExp(`${stream}: record 1 is no event`),
        "",
      ] as const,
  ),
  [
    "events of no stream",
    "INSERT INTO events VALUES (77, 1, 1, x'00')",
    /there are events of stream number 77, which is not there/,
    "",
  ],
];

describe("checkStorage", () => {
  it("finds nothing wrong with what a server has written, counts it, and changes nothing", async () => {
    const directory = await filled();
    const before = contents(directory);
    const report = await check(directory);

    expect(report).toMatchObject({
      directory,
      writtenBy: expect.stringMatching(/^retake \d/),
      journalFormat: 1,
      counts: { runs: 4n, openRuns: 1n, events: 12n, payloads: 6n, files: 1n, fileBytes: 300_000n },
      problems: [],
      problemCount: 0n,
      leftovers: [],
      leftoverCount: 0n,
    });
    expect(contents(directory)).toEqual(before);
  });

  it.each(damage)("finds %s", async (_, sql, message, runId) => {
    const directory = await filled();
    change(directory, sql);
    const { problems, problemCount } = await check(directory);

    expect(problems.length).toBe(Number(problemCount));
    expect(problems).toContainEqual(expect.objectContaining({ message: expect.stringMatching(message), runId }));
  });

  it.each([
    ["is missing", (path: string) => rmSync(path), "is not there"],
    ["is cut off", (path: string) => writeFileSync(path, new Uint8Array(1_000).fill(1)), "has bytes of another digest"],
  ])("finds a payload file that %s", async (_, harm, message) => {
    const directory = await filled();
    harm(join(directory, large));

    expect((await check(directory)).problems).toEqual([
      expect.objectContaining({ message: `${large} of run d ${message}`, runId: "d" }),
    ]);
  });

  it("tells what a crash leaves behind apart from damage", async () => {
    const directory = await filled();
    change(
      directory,
      `DELETE FROM payloads WHERE run = 'b';
       INSERT INTO deletions VALUES (78);
       INSERT INTO payloads (run, sha256, size, data) VALUES ('gone', x'${inputOfA}', 10, CAST('input of a' AS BLOB));`,
    );
    const orphan = payloadFileName(payloadDigest(largeBytes(2)));
    mkdirSync(dirname(join(directory, orphan)), { recursive: true });
    writeFileSync(join(directory, orphan), largeBytes(2));
    const { problems, leftovers } = await check(directory);

    expect(problems).toEqual([]);
    expect(leftovers.map(({ message }) => message)).toEqual([
      "run/b was being deleted: its payloads are gone",
      "events of the deleted stream number 78 are still there",
      `payload ${inputOfA} belongs to run gone, which is not there`,
      `no run refers to ${orphan}`,
    ]);
  });

  it("goes on behind a page that cannot be read", async () => {
    const directory = await filled();
    change(directory, "INSERT INTO events VALUES (77, 1, 1, x'00')");
    const path = join(directory, "retake.db");
    const content = readFileSync(path);
    const page = Math.floor(content.indexOf("result of a") / 4_096) * 4_096;
    content.fill(0xa5, page, page + 8);
    writeFileSync(path, content);
    const { problems } = await check(directory);

    expect(problems.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^the database is damaged: /),
        "run/a: database disk image is malformed",
        "run/d: database disk image is malformed",
        "there are events of stream number 77, which is not there",
        "the database is damaged, and a part of it cannot be read: database disk image is malformed",
      ]),
    );
  });

  it("counts more problems than it tells", async () => {
    const directory = await filled();
    change(
      directory,
      "INSERT INTO events WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1599) SELECT i, 1, 1, x'00' FROM n",
    );
    const { problems, problemCount } = await check(directory);

    expect([problems.length, problemCount]).toEqual([1_000, 1_500n]);
  });

  it("names who holds the directory, and does nothing then", async () => {
    const directory = temporaryDirectory();
    const holder = startProcess("hold", [directory]);
    await said(holder);

    await expect(check(directory)).rejects.toMatchObject({
      reason: "locked",
      message: expect.stringContaining(`is in use by process ${holder.pid} on `),
    });
  });

  it("leaves a directory alone that has no journal in it", async () => {
    const directory = temporaryDirectory();

    await expect(check(directory)).rejects.toThrow(`there is no journal in ${directory}`);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("reads a journal that a server has left in its log", async () => {
    const directory = temporaryDirectory();
    const writer = startProcess("hold", [directory]);
    await said(writer);
    writer.kill("SIGKILL");
    await new Promise((resolve) => writer.once("exit", resolve));

    expect(await check(directory)).toMatchObject({ problemCount: 0n, counts: { runs: 0n } });
  });
});

/** The files that matter, with what is in them. */
function contents(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => !/-(wal|shm)$|lock/.test(path))
      .map((path) => [path, readFileSync(path, "base64")]),
  );
}
