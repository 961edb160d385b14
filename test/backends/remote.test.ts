import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient, type ServiceImpl } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { FailureSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { silentLogger } from "../../src/runs/index.ts";
import { createServer } from "../../src/server/index.ts";
import { addConnectService, createGrpcTransport, listenGrpc } from "../../src/transport/index.ts";
import { type StreamingResponse, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { rejection } from "../server/harness.ts";

/** A gRPC server that knows nothing of runs and implements the contract itself. */
async function startBackend(implementation: Partial<ServiceImpl<typeof WorkflowsService>>, port = 0) {
  const server = new Server();
  addConnectService(server, WorkflowsService, implementation);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port });
  const stop = () => listener.destroy();
  onTestFinished(() => stop());
  return { port: listener.port, stop };
}

/** A server in front of it. */
async function startGateway(backendPort: number) {
  const dataDirectory = await mkdtemp(join(tmpdir(), "retake-remote-"));
  const server = createServer(
    {
      dataDirectory,
      grpc: { port: 0 },
      web: { disabled: true },
      backends: [
        { service: WorkflowsService.typeName, endpoints: [{ target: `dns:///127.0.0.1:${backendPort}`, slots: 4 }] },
      ],
      workflows: { [`${WorkflowsService.typeName}/Flaky`]: { retry: { initialBackoff: { nanos: 20_000_000 } } } },
    },
    { log: silentLogger },
  );
  await server.serve(WorkflowsService).listen();
  const transport = createGrpcTransport({ target: `127.0.0.1:${server.grpc?.port}` });
  onTestFinished(async () => {
    transport.close();
    await server.close({ drainTimeoutMs: 0 });
    await rm(dataDirectory, { recursive: true, force: true });
  });
  const workflows: Client<typeof WorkflowsService> = createClient(WorkflowsService, transport);
  return { workflows, runs: createClient(RunService, transport) };
}

describe("a remote back-end", () => {
  it("carries out a unary workflow, and is told of the run in its metadata", async () => {
    const seen: Headers[] = [];
    const backend = await startBackend({
      plain: ({ text }, context) => {
        seen.push(new Headers(context.requestHeader));
        return { text: `remote ${text}` };
      },
    });
    const { workflows, runs } = await startGateway(backend.port);
    let runId = "";
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const answer = await workflows.plain(
      { text: "hi" },
      {
        headers: { traceparent, authorization: "Bearer secret", "x-other": "no" },
        onHeader: (header) => (runId = header.get("retake-run-id") ?? ""),
      },
    );
    expect(answer.text).toBe("remote hi");
    expect(Object.fromEntries(seen[0] ?? [])).toMatchObject({
      "retake-run-id": runId,
      "retake-attempt": "1",
      "retake-attempt-token": `${runId}.1`,
      "retake-quality": "FULL",
      "retake-owner": "default/anonymous",
      "idempotency-key": expect.stringMatching(/^[0-9a-f]{64}$/),
      traceparent,
    });
    expect(seen[0]?.has("authorization")).toBe(false);
    expect(seen[0]?.has("x-other")).toBe(false);
    const { run } = await runs.getRun({ runId });
    expect(run?.state).toBe(RunState.SUCCEEDED);
  });

  it("streams updates, then the result", async () => {
    const backend = await startBackend({
      async *streaming() {
        yield { update: { case: "line", value: "one" } };
        yield { update: { case: "progress", value: { fraction: 0.5 } } };
        yield { update: { case: "result", value: "film" } };
      },
    });
    const { workflows } = await startGateway(backend.port);
    const seen: StreamingResponse["update"][] = [];
    for await (const { update } of workflows.streaming({})) seen.push(update);
    expect(seen.filter(({ case: name }) => name !== "progress")).toEqual([
      { case: "line", value: "one" },
      { case: "result", value: "film" },
    ]);
  });

  it("is retaken when it dies, with the same idempotency key and another token", async () => {
    const seen: Headers[] = [];
    const flaky = (_: unknown, context: { requestHeader: Headers }) => {
      seen.push(new Headers(context.requestHeader));
      if (seen.length < 3) throw new ConnectError("gone", Code.Unavailable);
      return { attempts: seen.length };
    };
    const backend = await startBackend({ flaky });
    const { workflows } = await startGateway(backend.port);
    expect((await workflows.flaky({})).attempts).toBe(3);
    expect(seen.map((header) => header.get("retake-attempt"))).toEqual(["1", "2", "3"]);
    expect(new Set(seen.map((header) => header.get("idempotency-key"))).size).toBe(1);
    expect(new Set(seen.map((header) => header.get("retake-attempt-token"))).size).toBe(3);
  });

  it("that nobody can reach is UNAVAILABLE", async () => {
    const backend = await startBackend({});
    await backend.stop();
    const { workflows } = await startGateway(backend.port);
    await rejection(workflows.plain({}), Code.Unavailable);
  });

  it("that refuses our credentials is INTERNAL, and one that runs out of time UNAVAILABLE: neither is the caller's doing", async () => {
    let code = Code.Unauthenticated;
    const backend = await startBackend({
      plain: () => {
        throw new ConnectError("no", code);
      },
    });
    const { workflows } = await startGateway(backend.port);
    const refused = await rejection(workflows.plain({}), Code.Internal);
    expect(refused.findDetails(FailureSchema)[0]?.reason).toBe("BACKEND_CREDENTIALS");
    code = Code.DeadlineExceeded;
    const late = await rejection(workflows.plain({}), Code.Unavailable);
    expect(late.findDetails(FailureSchema)[0]?.reason).toBe("BACKEND_TIMEOUT");
  });

  it("is told to stop when the run is cancelled", async () => {
    const stopped = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const backend = await startBackend({
      plain: (_, context) =>
        new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => {
            stopped.resolve();
            reject(new ConnectError("stopped", Code.Canceled));
          });
          started.resolve();
        }),
    });
    const { runs } = await startGateway(backend.port);
    const { run } = await runs.startRun({ workflow: `${WorkflowsService.typeName}/Plain` });
    await started.promise;
    await runs.cancelRun({ runId: run?.runId ?? "" });
    await stopped.promise;
    for await (const { update } of runs.watchRun({ runId: run?.runId ?? "" })) {
      if (update.case === "event" && update.value.event.case === "cancelled") {
        expect(update.value.event.value.acknowledged).toBe(true);
      }
    }
    expect((await runs.getRun({ runId: run?.runId ?? "" })).run?.state).toBe(RunState.CANCELLED);
  });
});
