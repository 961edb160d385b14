import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createListener } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer, type ServerOptions } from "../../src/server/index.ts";
import { ServingStatus, startBackend } from "../backends/gateway.ts";
import { FallbacksService } from "../gen/retake/test/v1/fallbacks_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { recordingLogger } from "./listening-server.ts";

const plain = `${WorkflowsService.typeName}/Plain`;
const echo = `${FallbacksService.typeName}/Echo`;

/** A server whose Plain is at a port of this machine, and whose Echo, here, stands in for it. */
async function startGateway(port: number, options: Pick<ServerOptions, "openStorage"> = {}) {
  const log = recordingLogger();
  const dataDirectory = await mkdtemp(join(tmpdir(), "retake-fallbacks-"));
  const server = createServer(
    {
      dataDirectory,
      grpc: { disabled: true },
      web: { disabled: true },
      backends: [
        {
          service: WorkflowsService.typeName,
          endpoints: [{ target: `dns:///127.0.0.1:${port}`, healthCheck: { interval: { nanos: 100_000_000 } } }],
        },
      ],
      workflows: { [plain]: { fallbacks: [echo] } },
    },
    { log, ...options },
  );
  const nothing = () => ({});
  server
    .serve(WorkflowsService)
    .implement(FallbacksService, {
      echo: ({ text }) => ({ text: `${text}, here` }),
      still: nothing,
      poster: nothing,
      async *film() {
        yield {};
      },
      async *sketch() {
        yield {};
      },
    })
    .convert("poster-of-sketch", {
      workflow: FallbacksService.method.poster,
      fallback: FallbacksService.method.sketch,
      response: () => ({}),
    });
  await server.listen();
  onTestFinished(async () => {
    await server.close({ drainTimeoutMs: 0 });
    await rm(dataDirectory, { recursive: true, force: true });
  });
  return {
    workflows: createClient(WorkflowsService, server.transport),
    runs: createClient(RunService, server.transport),
    log: log.entries,
  };
}

async function freePort(): Promise<number> {
  const listener = createListener().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const address = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

it("answers, without an attempt, for a workflow whose only endpoint is away, until that is there", async () => {
  const port = await freePort();
  const { workflows, runs } = await startGateway(port);
  // Nobody has seen yet that it is away: the run waits in line, and leaves it when that is known.
  expect(await workflows.plain({ text: "a" })).toMatchObject({ text: "a, here" });
  expect(await workflows.plain({ text: "b" })).toMatchObject({ text: "b, here" });
  const { runs: delegated } = await runs.listRuns({ workflow: plain });
  expect(delegated).toMatchObject(
    ["b", "a"].map(() => ({
      state: RunState.SUCCEEDED,
      statistics: { attempts: 0, fallbackUsed: echo },
      fallbacks: [{ reason: "NO_ENDPOINT: none of its endpoints is healthy" }],
    })),
  );

  await startBackend({ plain: ({ text }) => ({ text: `${text}, there` }) }, { port });
  await expect.poll(() => workflows.plain({ text: "c" }), { interval: 50 }).toMatchObject({ text: "c, there" });
});

it("answers also for those that wait in line since just now, and are not durable yet", async () => {
  const status = Promise.withResolvers<ServingStatus>();
  const backend = await startBackend({}, { health: () => status.promise });
  let syncing = Promise.resolve();
  const { workflows, log } = await startGateway(backend.port, {
    openStorage: (_, clock) => createMemoryStorage({ clock, durable: () => syncing }),
  });
  const sync = Promise.withResolvers<void>();
  syncing = sync.promise;
  const answer = workflows.plain({ text: "a" });
  await setImmediate();
  status.resolve(ServingStatus.NOT_SERVING);
  await expect.poll(() => log.at(-1)?.message).toMatch(/^an endpoint is not healthy/);
  await setImmediate();
  sync.resolve();
  expect(await answer).toMatchObject({ text: "a, here" });
});
