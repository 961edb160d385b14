import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { ConfigError } from "../../src/config/index.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createServer, type RetakeServer, type ServerOptions } from "../../src/server/index.ts";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { compileContracts, contractSource } from "../contract/compile-contracts.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "./handlers.ts";
import { deferred } from "./harness.ts";

interface Place {
  readonly directory: string;
  readonly grpcPort: number;
  readonly webPort: number;
}

async function createPlace(): Promise<Place> {
  const root = mkdtempSync(join(tmpdir(), "retake-start-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return { directory: join(root, "data"), grpcPort: await freePort(), webPort: await freePort() };
}

async function freePort(): Promise<number> {
  const probe = createNetServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Binds a port until the returned function is called. */
async function occupy(port: number): Promise<() => Promise<void>> {
  const server = createNetServer();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return async () => {
    server.close();
    await once(server, "close");
  };
}

function serverAt(
  { directory, grpcPort, webPort }: Place,
  config: MessageInitShape<typeof ServerConfigSchema> = {},
  options: ServerOptions = {},
): RetakeServer {
  const server = createServer(
    {
      dataDirectory: directory,
      grpc: { port: grpcPort },
      web: { port: webPort },
      security: everyoneIsAdmin,
      ...config,
    } as typeof config,
    { log: silentLogger, ...options },
  );
  onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
  return server;
}

function implemented(...[place, config, options]: Parameters<typeof serverAt>): RetakeServer {
  return serverAt(place, config, options).implement(WorkflowsService, handlers());
}

async function failure(server: RetakeServer): Promise<Error & { problems?: unknown; code?: string; reason?: string }> {
  const error = await server.listen().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Error);
  expect([server.grpc, server.web]).toEqual([undefined, undefined]);
  return error as Error;
}

/** Nothing listens and nothing is locked: another server can have all of it. */
async function assertFree(place: Place): Promise<void> {
  const next = implemented(place);
  await next.listen();
  await next.close({ drainTimeoutMs: 0 });
}

async function portIsFree(port: number): Promise<void> {
  await (await occupy(port))();
}

describe("a server does not start", () => {
  it("with contracts that cannot be served, and names method and field of every problem", async () => {
    const place = await createPlace();
    const registry = await compileContracts({
      "bad/v1/bad.proto": contractSource(
        "bad.v1",
        `service BadService {
          rpc Upload(stream In) returns (Out) { option (retake.v1.workflow) = {}; }
          rpc Many(In) returns (Out) {
            option (retake.v1.workflow) = { timeout: { seconds: -1 } retry: { max_attempts: 1000 } };
          }
          rpc Nothing(In) returns (stream Updates) { option (retake.v1.workflow) = {}; }
        }
        message In {}
        message Out {}
        message Updates { oneof update { retake.v1.Progress progress = 1; } }`,
      ),
    });
    const server = serverAt(place).serve(registry.getService("bad.v1.BadService") as DescService);
    const { message, name } = await failure(server);
    expect(name).toBe("ContractError");
    expect(message).toMatch(/bad\.v1\.BadService\/Upload: .*stream/);
    expect(message).toMatch(/bad\.v1\.BadService\/Many: option \(retake\.v1\.workflow\): timeout/);
    expect(message).toMatch(/bad\.v1\.BadService\/Many: option \(retake\.v1\.workflow\): retry\.max_attempts/);
    expect(message).toMatch(/bad\.v1\.BadService\/Nothing: /);
    expect(() => readdirSync(place.directory)).toThrow("ENOENT");
    await assertFree(place);
  });

  it("with an override out of range, or of a workflow that there is not", async () => {
    const place = await createPlace();
    const name = `${WorkflowsService.typeName}/Plain`;
    expect(() => implemented(place, { workflows: { [name]: { retry: { maxAttempts: 1000 } } } })).toThrow(ConfigError);
    const unknown = implemented(place, { workflows: { [`${name}s`]: { retry: { maxAttempts: 2 } } } });
    expect((await failure(unknown)).message).toContain(`${name}s`);
    await assertFree(place);
  });

  it("without an implementation for each workflow, and names those that have none", async () => {
    const place = await createPlace();
    const server = serverAt(place).implement(WorkflowsService, { plain: () => ({}) });
    const { message } = await failure(server);
    expect(message).toContain(`${WorkflowsService.typeName}/Keyed`);
    expect(message).not.toContain(`${WorkflowsService.typeName}/Plain`);
    await assertFree(place);
  });

  it.each(["grpcPort", "webPort"] as const)("when its %s is in use, and starts once it is free", async (which) => {
    const place = await createPlace();
    const release = await occupy(place[which]);
    const server = implemented(place);
    const error = await failure(server);
    expect(error.message).toContain(`127.0.0.1:${place[which]}`);
    expect(error.message).toContain("the port is in use");
    expect(error.code).toBe("EADDRINUSE");
    await portIsFree(which === "grpcPort" ? place.webPort : place.grpcPort);
    const elsewhere = { ...place, [which]: await freePort() };
    await assertFree(elsewhere);
    await release();
    await server.listen();
    const transport = createGrpcTransport({ target: `127.0.0.1:${place.grpcPort}` });
    onTestFinished(() => transport.close());
    expect(await createClient(WorkflowsService, transport).plain({ text: "a" })).toMatchObject({ text: "a" });
  });

  it("in a directory of another server, and says who holds it", async () => {
    const place = await createPlace();
    const first = implemented(place);
    await first.listen();
    const other = { directory: place.directory, grpcPort: await freePort(), webPort: await freePort() };
    const error = await failure(implemented(other));
    expect(error.reason).toBe("locked");
    expect(error.message).toContain(`in use by process ${process.pid} on `);
    await portIsFree(other.grpcPort);
    await first.close({ drainTimeoutMs: 0 });
    await assertFree(other);
  });

  it.each<[string, string, RegExp, (directory: string) => void]>([
    [
      "where a file is in the way of its directory",
      "unreadable",
      /because it, or what it is in, is a file/,
      (directory) => writeFileSync(directory, ""),
    ],
    [
      "on the journal of a newer version",
      "newer",
      /format 9999.*start the newer one/,
      (directory) => {
        const database = new DatabaseSync(join(directory, "retake.db"));
        database.exec("PRAGMA user_version = 9999");
        database.close();
      },
    ],
    [
      "on a journal whose header is damaged",
      "damaged",
      /is damaged .*restore a backup/,
      (directory) => overwrite(directory, 0, 100),
    ],
    [
      "on a journal whose first pages are damaged",
      "damaged",
      /is damaged .*restore a backup/,
      (directory) => overwrite(directory, 100, 20_000),
    ],
  ])("%s", async (_, reason, message, prepare) => {
    const place = await createPlace();
    if (reason !== "unreadable") await assertFree(place);
    prepare(place.directory);
    const error = await failure(implemented(place));
    expect(error.name).toBe("JournalOpenError");
    expect(error.reason).toBe(reason);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(place.directory);
    await portIsFree(place.grpcPort);
    await portIsFree(place.webPort);
    rmSync(place.directory, { recursive: true });
    await assertFree(place);
  });
});

function overwrite(directory: string, position: number, length: number): void {
  const file = openSync(join(directory, "retake.db"), "r+");
  writeSync(file, Buffer.alloc(length, 0xa5), 0, length, position);
  closeSync(file);
}

describe("a server is used in its order", () => {
  it("is implemented before it listens, each method once, with functions", async () => {
    const place = await createPlace();
    const server = serverAt(place);
    expect(() => server.implement(WorkflowsService, { plian: () => ({}) } as never)).toThrow(
      "service retake.test.v1.WorkflowsService has no method plian",
    );
    expect(() => server.implement(WorkflowsService, { plain: "text" } as never)).toThrow("is no function");
    server.implement(WorkflowsService, handlers());
    expect(() => server.implement(WorkflowsService, { plain: () => ({}) })).toThrow("implemented twice");
    expect(() => server.transport).toThrow("once listen() has resolved");
    const listening = server.listen();
    expect(() => server.implement(WorkflowsService, {})).toThrow("before listen()");
    await expect(server.listen()).rejects.toThrow("listen() is called once");
    await listening;
    await expect(server.listen()).rejects.toThrow("listen() is called once");
    expect(() => server.serve(WorkflowsService)).toThrow("before listen()");
  });

  it("is closed once, whenever and however often that is asked", async () => {
    const place = await createPlace();
    const server = implemented(place);
    await server.listen();
    const closed = server.close({ drainTimeoutMs: 0 });
    expect(server.close()).toBe(closed);
    await closed;
    await server.close();
    await expect(server.listen()).rejects.toThrow("the server has been closed: create a new one");
    await assertFree(place);
  });

  it("can be closed without having listened, and then no longer listens", async () => {
    const server = implemented(await createPlace());
    await server.close();
    await expect(server.listen()).rejects.toThrow("has been closed");
  });

  it("can be closed while it starts, and then nothing of it goes on", async () => {
    const place = await createPlace();
    const opening = deferred();
    const goOn = deferred();
    const { openSqliteStorage } = await import("../../src/runs/sqlite/index.ts");
    const { createMemoryStorage } = await import("../../src/runs/memory/index.ts");
    const server = implemented(
      place,
      {},
      {
        openStorage: async ({ dataDirectory }, clock) => {
          opening.resolve();
          await goOn.promise;
          const { artifacts } = createMemoryStorage({ clock });
          return { ...openSqliteStorage({ directory: dataDirectory, clock }), artifacts };
        },
      },
    );
    const listening = server.listen();
    await opening.promise;
    const closed = server.close({ drainTimeoutMs: 0 });
    goOn.resolve();
    await Promise.all([listening, closed]);
    await assertFree(place);
  });

  it("can be closed after a start that has failed", async () => {
    const place = await createPlace();
    const release = await occupy(place.grpcPort);
    const server = implemented(place);
    await failure(server);
    await server.close();
    await release();
    await assertFree(place);
  });
});
