import { closeSync, fdatasync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { openSqliteStorage, type SqliteStorageOptions } from "../../src/runs/sqlite/index.ts";
import type { ServerOptions, WorkflowImpl } from "../../src/server/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, rejection } from "./harness.ts";
import { everyTransport, fetchWeb, type ListeningServer, startListening } from "./listening-server.ts";

const plain = `${WorkflowsService.typeName}/Plain`;
const sync = promisify(fdatasync);

interface Disk {
  failing: boolean;
}

type Storages = readonly [
  name: string,
  open: (disk: Disk, directory: string) => NonNullable<ServerOptions["openStorage"]>,
];

const refuse = (disk: Disk): void => {
  if (disk.failing) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
};

const openSqlite = (options: SqliteStorageOptions) => ({
  ...openSqliteStorage(options),
  artifacts: createMemoryStorage({ clock: options.clock }).artifacts,
});

const storages: readonly Storages[] = [
  [
    "SQLite, whose sync fails",
    (disk, directory) => (_, clock) =>
      openSqlite({
        directory,
        clock,
        sync: async (file) => {
          refuse(disk);
          await sync(file);
        },
      }),
  ],
  ["memory, which refuses", (disk) => (_, clock) => createMemoryStorage({ clock, durable: async () => refuse(disk) })],
];

function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "retake-faults-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function start(
  own: WorkflowImpl<typeof WorkflowsService>,
  open: Storages[1],
): Promise<ListeningServer & { disk: Disk }> {
  const disk = { failing: false };
  const directory = scratchDirectory();
  const server = await startListening(own, { openStorage: open(disk, directory) });
  // Before the server is closed, which waits for what can be written.
  onTestFinished(() => {
    disk.failing = false;
  });
  return { ...server, disk };
}

const reasonOf = (error: ConnectError) => error.findDetails(ErrorInfoSchema)[0]?.reason;

async function readyz({ webPort }: ListeningServer) {
  return fetchWeb(webPort, "/readyz", { method: "GET", headers: {} });
}

describe.each(storages)("a storage that fails while the server runs: %s", (_, openStorage) => {
  it("takes no new runs, answers those that end meanwhile once it holds again, and all returns by itself", async () => {
    const started = deferred();
    const finish = deferred();
    const server = await start(
      {
        plain: async ({ text }) => {
          if (text === "slow") {
            started.resolve();
            await finish.promise;
          }
          return { text };
        },
      },
      openStorage,
    );
    const health = createClient(Health, server.grpc);
    const statuses: ServingStatus[] = [];
    const left = new AbortController();
    onTestFinished(() => left.abort());
    const watched = (async () => {
      for await (const { status } of health.watch({}, { signal: left.signal })) statuses.push(status);
    })().catch(() => undefined);
    const attached = everyTransport(server).map(([, transport]) =>
      createClient(WorkflowsService, transport).plain({ text: "slow" }),
    );
    let settled = 0;
    for (const call of attached)
      void call.then(() => {
        settled += 1;
      });
    await started.promise;
    await expect.poll(async () => (await server.runs.listRuns({ states: [RunState.RUNNING] })).runs.length).toBe(4);

    server.disk.failing = true;
    for (const [name, transport] of everyTransport(server)) {
      const runs = createClient(RunService, transport);
      const workflows = createClient(WorkflowsService, transport);
      for (const call of [
        workflows.plain({}),
        workflows.keyed({ requestId: "k" }),
        runs.startRun({ workflow: plain }),
      ]) {
        const refused = await rejection(call, Code.Unavailable);
        expect(reasonOf(refused), name).toBe("JOURNAL");
        expect(refused.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds, name).toBe(1n);
        expect(refused.metadata.get("grpc-retry-pushback-ms"), name).toBe("1000");
        expect(refused.rawMessage, name).not.toContain("ENOSPC");
      }
    }
    const unready = await readyz(server);
    expect(unready.status).toBe(503);
    expect(unready.json["reason"]).toContain("ENOSPC: no space left on device");
    expect((await fetchWeb(server.webPort, "/healthz", { method: "GET", headers: {} })).status).toBe(200);
    await expect.poll(() => statuses).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
    expect((await health.check({ service: WorkflowsService.typeName })).status).toBe(ServingStatus.NOT_SERVING);

    finish.resolve();
    // The answers would overtake this one if they did not wait for the disk.
    expect((await readyz(server)).status).toBe(503);
    expect(settled).toBe(0);

    server.disk.failing = false;
    expect((await Promise.all(attached)).map(({ text }) => text)).toEqual(["slow", "slow", "slow", "slow"]);
    await expect.poll(() => statuses.at(-1)).toBe(ServingStatus.SERVING);
    expect((await readyz(server)).status).toBe(200);
    expect(await server.workflows.plain({ text: "again" })).toMatchObject({ text: "again" });
    left.abort();
    await watched;
    expect(server.log.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        "the journal cannot be written; no new runs until it can",
        "the journal can be written again",
      ]),
    );
    // What was refused may have been stored all the same, where only the sync failed; but none of it stays open.
    const open = [RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING];
    await expect.poll(async () => (await server.runs.listRuns({ states: open })).runs).toEqual([]);
    expect((await server.runs.listRuns({ states: [RunState.FAILED] })).runs).toEqual([]);
  });

  it("does not keep the server from stopping, with runs that work and some that have ended", async () => {
    const started = deferred();
    const finish = deferred();
    let working = 0;
    const server = await start(
      {
        plain: async ({ text }, context) => {
          working += 1;
          if (working === 2) started.resolve();
          if (text === "ends") await finish.promise;
          else
            await new Promise((_, reject) =>
              context.signal.addEventListener("abort", () => reject(context.signal.reason)),
            );
          return { text };
        },
      },
      openStorage,
    );
    const calls = ["ends", "works"].map((text) => rejection(server.workflows.plain({ text })));
    await started.promise;
    server.disk.failing = true;
    await rejection(server.workflows.plain({}), Code.Unavailable);
    finish.resolve();
    await server.server.close({ drainTimeoutMs: 0 });
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual([Code.Unavailable, Code.Unavailable]);
  });
});

describe("a journal that proves damaged while the server runs", () => {
  /** Events of one page are not what they were, which a start does not meet. */
  async function damagedDirectory(): Promise<string> {
    const directory = scratchDirectory();
    const before = await startListening({}, { openStorage: (_, clock) => openSqlite({ directory, clock }) });
    await Promise.all(Array.from({ length: 60 }, () => before.workflows.plain({ text: "x".repeat(100) })));
    await before.server.close();
    const path = join(directory, "retake.db");
    const database = new DatabaseSync(path);
    const pages = database.prepare("SELECT pageno FROM dbstat WHERE name = 'events' AND pagetype = 'leaf'").all();
    database.close();
    const file = openSync(path, "r+");
    writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, 4096 * (Number(pages[1]?.["pageno"]) - 1));
    closeSync(file);
    return directory;
  }

  it("is told to callers and by the probes, as something that waiting does not mend", async () => {
    const directory = await damagedDirectory();
    const server = await startListening({}, { openStorage: (_, clock) => openSqlite({ directory, clock }) });
    expect((await readyz(server)).status).toBe(200);
    const unreadable = await rejection(server.runs.listRuns({ pageSize: 100 }), Code.Unavailable);
    expect(reasonOf(unreadable)).toBe("JOURNAL");
    const unready = await readyz(server);
    expect([unready.status, unready.json["reason"]]).toEqual([503, expect.stringContaining("is damaged")]);
    const alive = await fetchWeb(server.webPort, "/healthz", { method: "GET", headers: {} });
    expect([alive.status, alive.json]).toEqual([503, { status: "failing" }]);
    expect(reasonOf(await rejection(server.workflows.plain({}), Code.Unavailable))).toBe("JOURNAL");
    const told = server.log.find(({ message }) => message.startsWith("the journal cannot be written"));
    expect(String(told?.fields["err"])).toMatch(/is damaged .*restore a backup/);
  });
});
