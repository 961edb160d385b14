import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AuditOutcome, type AuditRecord } from "../../gen/retake/v1/audit_pb.js";
import { BreakerMode } from "../../gen/retake/v1/breaker_pb.js";
import { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { FaultDelaySchema } from "../../gen/retake/v1/fault_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { systemClock, systemRandom } from "../../src/clock.ts";
import { resolveConfig } from "../../src/config/index.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { verifyAudit } from "../../src/security/index.ts";
import { createServer, type ServerOptions } from "../../src/server/index.ts";
import { startAudit } from "../../src/server/start-audit.ts";
import { retake } from "../cli/harness.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";
import { untilNoError } from "../until.ts";
import { handlers } from "./handlers.ts";
import { rejection, startServer, stopServer } from "./harness.ts";

const plain = `${WorkflowsService.typeName}/Plain`;

async function listAll(admin: Client<typeof AdminService>, filter = {}): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  let pageToken = "";
  do {
    const page = await admin.listAuditRecords({ pageSize: 3, pageToken, filter, oldestFirst: true });
    records.push(...page.records);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return records;
}

async function startAudited(config: object = {}) {
  const test = await startServer({}, { config: { security: { audit: config } } });
  onTestFinished(() => stopServer(test));
  return { ...test, admin: createClient(AdminService, test.server.transport) };
}

describe("the audit log of a server", () => {
  it("has who started, joined, cancelled and reran runs", async () => {
    const { workflows, runs, admin } = await startAudited();
    await workflows.plain({});
    const started = await runs.startRun({ workflow: plain, idempotencyKey: "k" });
    await runs.startRun({ workflow: plain, idempotencyKey: "k" });
    const runId = started.run?.runId ?? "";
    const rerun = await runs.rerunRun({ runId });
    await rejection(runs.cancelRun({ runId: "0198c2a4-5b1e-7cc3-9b1e-4f0d2c6a7b8c", reason: "x" }), Code.NotFound);
    await runs.getRun({ runId });
    const records = await listAll(admin);
    expect(records.map(({ action, resource, outcome }) => [action, resource, AuditOutcome[outcome]])).toEqual([
      ["run.start", plain, "GRANTED"],
      ["run.start", plain, "GRANTED"],
      ["run.join", plain, "GRANTED"],
      ["run.rerun", runId, "GRANTED"],
      ["run.cancel", "0198c2a4-5b1e-7cc3-9b1e-4f0d2c6a7b8c", "FAILED"],
    ]);
    expect(records[1]).toMatchObject({ subject: "in-process", authentication: "in_process", details: { run: runId } });
    expect(records[3]?.details).toEqual({ new_run: rerun.run?.runId });
    expect(records[4]?.reason).not.toBe("");
  });

  it("has each of the runs that are cancelled or rerun together", async () => {
    const { runs, admin, clock } = await startAudited({ except: ["run.start", "workflow.*"] });
    await runs.pauseWorkflow({ workflow: plain });
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      ids.push((await runs.startRun({ workflow: plain })).run?.runId ?? "");
      await clock.advance(1);
    }
    const filter = { workflow: plain };
    await runs.cancelRuns({ filter });
    await runs.cancelRuns({ filter, force: true, reason: "wrong model" });
    await clock.advance(0);
    await runs.rerunRuns({ filter, force: true, batch: "b" });
    const records = (await listAll(admin)).map(({ action, resource, details }) => [action, resource, details]);
    const newestFirst = ids.toReversed();
    expect(records).toEqual([
      ...newestFirst.map((id) => ["run.cancel", id, { reason: "wrong model" }]),
      ["runs.cancel", plain, { reason: "wrong model", runs: "3" }],
      ...newestFirst.map((id) => ["run.rerun", id, { new_run: expect.stringMatching(/^[0-9a-f-]{36}$/), batch: "b" }]),
      ["runs.rerun", plain, { batch: "b", runs: "3" }],
    ]);
  });

  it("has what operators change, with their reasons", async () => {
    const test = await startServer({}, { config: { workflows: { [plain]: { circuitBreaker: {} } } } });
    onTestFinished(() => stopServer(test));
    const admin = createClient(AdminService, test.server.transport);
    await test.runs.pauseWorkflow({ workflow: plain, reason: "new cards, ask ada@example.org" });
    await test.runs.resumeWorkflow({ workflow: plain });
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN, reason: "look" });
    await admin.setPolicyOverride({ workflow: plain, policy: {}, reason: "try" });
    await admin.deletePolicyOverride({ workflow: plain });
    const effect = { case: "delay" as const, value: create(FaultDelaySchema, { duration: { seconds: 1n } }) };
    const { fault } = await admin.injectFault({ fault: { workflow: plain, effect }, duration: { seconds: 60n } });
    await admin.removeFault({ faultId: fault?.faultId ?? "" });
    await rejection(admin.removeFault({ faultId: "none" }), Code.NotFound);
    const records = await listAll(admin);
    expect(records.map(({ action }) => action)).toEqual([
      ...["workflow.pause", "workflow.resume", "breaker.force", "policy.set", "policy.delete"],
      ...["fault.inject", "fault.remove", "fault.remove"],
    ]);
    expect(records[0]?.details["reason"]).toMatch(/^new cards, ask email:[0-9a-f]{16}$/);
    expect(records[2]?.details).toEqual({ mode: "FORCED_OPEN", reason: "look" });
    expect(records.at(-1)).toMatchObject({ outcome: AuditOutcome.FAILED, reason: "UNKNOWN_FAULT" });
  });

  it("is searched by action, subject, resource, outcome and time, either way round", async () => {
    const { workflows, runs, admin, clock } = await startAudited({ reads: true });
    for (let at = 0; at < 4; at++) await workflows.plain({});
    await clock.advance(10_000);
    const since = { seconds: BigInt(Math.floor(clock.now() / 1000)) };
    await runs.pauseWorkflow({ workflow: plain });
    await runs.listWorkflows({});
    const actions = async (filter: object) => (await listAll(admin, filter)).map(({ action }) => action);
    expect(await actions({ since, action: "workflow.pause" })).toEqual(["workflow.pause"]);
    expect(await actions({ until: since })).toEqual(Array(4).fill("run.start"));
    expect(await actions({ action: "workflow.*" })).toEqual(["workflow.pause"]);
    expect(await actions({ subject: "nobody" })).toEqual([]);
    expect(await actions({ resource: `${RunService.typeName}/ListWorkflows` })).toEqual(["call"]);
    expect(await actions({ outcomes: [AuditOutcome.DENIED] })).toEqual([]);
    const { records, nextPageToken } = await admin.listAuditRecords({ pageSize: 1, filter: { action: "run.start" } });
    expect(records[0]?.sequence).toBe(4n);
    await rejection(admin.listAuditRecords({ pageToken: nextPageToken }), Code.InvalidArgument);
  });

  it("is summed up in a report", async () => {
    const { workflows, runs, admin } = await startAudited();
    for (let at = 0; at < 3; at++) await workflows.plain({});
    await rejection(runs.cancelRun({ runId: "0198c2a4-5b1e-7cc3-9b1e-4f0d2c6a7b8c" }), Code.NotFound);
    const { report } = await admin.getSecurityReport({});
    expect(report).toMatchObject({ events: 4n, denied: 0n, lockouts: 0n, truncated: false });
    expect(report?.actions).toMatchObject([
      { action: "run.cancel", outcome: AuditOutcome.FAILED, count: 1n },
      { action: "run.start", outcome: AuditOutcome.GRANTED, count: 3n },
    ]);
    expect(report?.subjects).toMatchObject([{ subject: "in-process", granted: 3n, denied: 0n, failed: 1n }]);
    await rejection(admin.getSecurityReport({ since: { seconds: 5n }, until: { seconds: 5n } }), Code.InvalidArgument);
  });

  it("has no denials that are what a handler answered", async () => {
    const plain = () => {
      throw new ConnectError("the card is not yours", Code.PermissionDenied);
    };
    const test = await startServer({ plain });
    onTestFinished(() => stopServer(test));
    await rejection(test.workflows.plain({}), Code.PermissionDenied);
    const { report } = await createClient(AdminService, test.server.transport).getSecurityReport({});
    expect(report).toMatchObject({ events: 1n, denied: 0n });
  });

  it("is none where that is wanted", async () => {
    const { workflows, admin } = await startAudited({ disabled: true });
    await workflows.plain({});
    expect((await rejection(admin.listAuditRecords({}), Code.FailedPrecondition)).message).toContain("disabled");
  });
});

describe("the audit log in a data directory", () => {
  async function serve(directory: string, audit: object = {}, options: ServerOptions = {}) {
    const server = createServer(
      {
        dataDirectory: directory,
        grpc: { port: 0 },
        web: { disabled: true },
        security: { audit, apiKeys: { bootstrap: false } },
      },
      { log: silentLogger, ...options },
    );
    server.implement(WorkflowsService, handlers({}));
    await server.listen();
    onTestFinished(() => server.close());
    const workflows = createClient(WorkflowsService, server.transport);
    return { server, workflows, admin: createClient(AdminService, server.transport) };
  }

  it("survives a restart, is copied to a file, given to sinks, and can be verified", async () => {
    const directory = temporaryDirectory();
    const file = join(directory, "copy.jsonl");
    const seen: AuditRecord[] = [];
    const first = await serve(directory, { file }, { auditSinks: [{ write: (records) => seen.push(...records) }] });
    await first.workflows.plain({});
    await first.server.close();
    expect(seen).toHaveLength(1);
    const second = await serve(directory, { file });
    await second.workflows.plain({});
    expect(await listAll(second.admin)).toMatchObject([{ sequence: 1n }, { sequence: 2n }]);
    expect((await second.admin.getSecurityReport({})).report?.events).toBe(2n);
    await second.server.close();
    const key = Buffer.from(readFileSync(join(directory, "secrets", "audit.key"), "utf8").trim(), "hex");
    expect(verifyAudit(join(directory, "audit"), { key })).toMatchObject({ sound: true, records: 2n });
    expect(verifyAudit(file)).toMatchObject({ sound: true, records: 2n });
    for (const name of readdirSync(join(directory, "secrets"))) {
      expect(statSync(join(directory, "secrets", name)).mode & 0o777).toBe(0o600);
    }
  });

  it("is missed when it is gone, and the new one tells", async () => {
    const directory = temporaryDirectory();
    const first = await serve(directory);
    await first.workflows.plain({});
    await first.server.close();
    rmSync(join(directory, "audit"), { recursive: true });
    const second = await serve(directory);
    await second.workflows.plain({});
    await untilNoError(async () => {
      const actions = (await listAll(second.admin)).map(({ action }) => action);
      expect(actions.sort()).toEqual(["audit.damaged", "run.start"]);
    });
    const [damaged] = await listAll(second.admin, { action: "audit.damaged" });
    expect(damaged?.details["damage"]).toContain("is gone");
    await second.server.close();
  });

  it("is missed at the next start though nobody does anything, and is compared with the journal's note", async () => {
    const directory = temporaryDirectory();
    const audit = join(directory, "audit");
    const first = await serve(directory);
    await first.workflows.plain({});
    await first.server.close();
    cpSync(audit, `${audit}.older`, { recursive: true });
    const second = await serve(directory);
    await second.workflows.plain({});
    await second.server.close();
    const verify = () => retake(["audit", "verify", "-d", directory]);
    expect(await verify()).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/has a note of record 2\.\n$/) });
    rmSync(audit, { recursive: true });
    expect(await verify()).toMatchObject({ exitCode: 7, stdout: expect.stringContaining("audit is gone") });
    cpSync(`${audit}.older`, audit, { recursive: true });
    const cut = await verify();
    expect(cut).toMatchObject({
      exitCode: 7,
      stdout: expect.stringContaining("record 2 is missing, which the journal"),
    });
    const third = await serve(directory);
    await untilNoError(
      async () => expect(await listAll(third.admin)).toMatchObject([{ action: "audit.damaged", sequence: 1n }]),
      { timeout: 30_000 },
    );
    await third.server.close();
    expect((await verify()).exitCode).toBe(0);
    const fourth = await serve(directory);
    await fourth.workflows.plain({});
    await fourth.server.close();
    expect(await verify()).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^2 records, 1 to 2: /) });
  });

  it("is not begun anew under another key: the start fails, and says what to do", async () => {
    const directory = temporaryDirectory();
    const config = resolveConfig(create(ServerConfigSchema, { dataDirectory: directory }));
    const { journal } = createMemoryStorage({ clock: systemClock });
    const redaction = { personalData: "keep" as const, key: new Uint8Array() };
    const start = () =>
      startAudit({
        ...{ config, redaction, inMemory: false, sinks: [], journal },
        ...{ clock: systemClock, random: systemRandom, log: silentLogger },
      });
    const started = await start();
    await started?.noted;
    await started?.log.close();
    writeFileSync(join(directory, "secrets", "audit.key"), "no key");
    await expect(start()).rejects.toThrow(/holds no key/);
    chmodSync(join(directory, "secrets", "audit.key"), 0o640);
    await expect(start()).rejects.toThrow(/can be read by others.* \(mode 640\): make it private with "chmod 600/);
    unlinkSync(join(directory, "secrets", "audit.key"));
    writeFileSync(join(directory, "audit", "head.json"), "{}");
    await expect(start()).rejects.toThrow(/audit\.key is missing: it signs .* bring it back, or move/);
  });

  it("stops calls that would be recorded where it cannot be written, and that is wanted", async () => {
    const directory = temporaryDirectory();
    const { workflows, server } = await serve(directory, { onFailure: 2, maxDelay: { nanos: 10_000_000 } });
    mkdirSync(join(directory, "audit", "head.json.new"), { recursive: true });
    await workflows.plain({});
    const refused = await untilNoError(() => rejection(workflows.plain({}), Code.Unavailable));
    expect(refused.message).toContain("security.audit.on_failure");
    // Reading goes on.
    await createClient(RunService, server.transport).listWorkflows({});
    rmdirSync(join(directory, "audit", "head.json.new"));
    await untilNoError(() => workflows.plain({}), { timeout: 5000, interval: 100 });
  });
});
