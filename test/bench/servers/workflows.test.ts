import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { requestOf } from "../../../bench/requests.ts";
import { startWorkflows, type WorkflowsOptions } from "../../../bench/servers/workflows.ts";
import { slowSyncDelayMs } from "../../../bench/subjects.ts";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { RunService, StartRunRequestSchema } from "../../../gen/retake/v1/run_service_pb.js";
import { createGrpcTransport } from "../../../src/transport/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";

const plain = `${WorkflowsService.typeName}/Plain`;

let cleanUp: (() => Promise<void>) | undefined;

afterEach(() => cleanUp?.());

describe("the workflow server", () => {
  it("executes an empty workflow", async () => {
    const { callPlain } = await start({ steps: 0 });
    expect(await callPlain()).toEqual(["accepted", "attemptStarted", "succeeded"]);
  });

  it("executes durable steps", async () => {
    const { callPlain } = await start({ steps: 3 });
    expect(await callPlain()).toEqual([
      "accepted",
      "attemptStarted",
      "stepCompleted",
      "stepCompleted",
      "stepCompleted",
      "succeeded",
    ]);
  });

  it("starts a run by the request that the load generator sends", async () => {
    const { runs, eventsOf } = await start({ steps: 0 });
    const { message } = requestOf("start-run");
    const { run } = await runs.startRun(fromBinary(StartRunRequestSchema, message));
    expect(await eventsOf(run?.runId ?? "")).toEqual(["accepted", "attemptStarted", "succeeded"]);
  });

  it.each(["key", "token"] as const)("lets in who shows its %s, and nobody else", async (security) => {
    const { port, headers } = await start({ steps: 0, security });
    const transport = createGrpcTransport({ target: `127.0.0.1:${port}` });
    const client = createClient(WorkflowsService, transport);
    try {
      await client.plain({}, { headers: headers.map(([name, value]): [string, string] => [name, value]) });
      await expect(client.plain({})).rejects.toMatchObject({ code: Code.Unauthenticated });
    } finally {
      transport.close();
    }
  });

  it("gives every stage something to look at in the full chain, which changes nothing", async () => {
    const { callPlain, runs, transport } = await start({ steps: 0, fullChain: true });
    const { workflows } = await runs.listWorkflows({});
    const { policy } = workflows.find(({ workflow }) => workflow.endsWith("/Plain")) ?? {};
    const { report } = await createClient(MonitoringService, transport).getReport({});

    expect(policy).toMatchObject({
      timeout: {},
      attemptTimeout: {},
      progressTimeout: {},
      retry: { lowerQuality: true },
      concurrency: { limit: 1000, queueLimit: 1000, perPrincipal: 1000 },
      quality: {},
      fallbacks: [expect.any(String), expect.any(String)],
      recovery: { rules: [{}, {}, {}] },
    });
    expect(report?.resilience).toMatchObject({
      breakers: [{ workflow: plain }],
      retryBudgets: [{ backend: "in-process" }],
      faults: [{ fault: { workflow: plain } }],
    });
    expect(await callPlain()).toEqual(["accepted", "attemptStarted", "succeeded"]);
  });

  it("delays each of the two syncs of a call", async () => {
    const { callPlain } = await start({ steps: 0, slowSync: true });
    const startMs = performance.now();
    await callPlain();
    expect(performance.now() - startMs).toBeGreaterThan(2 * slowSyncDelayMs - 2);
  });
});

async function start(options: Omit<WorkflowsOptions, "directory">) {
  const directory = await mkdtemp(join(tmpdir(), "retake-bench-test-"));
  const server = await startWorkflows({ directory, ...options });
  const transport = createGrpcTransport({ target: `127.0.0.1:${server.port}` });
  cleanUp = async () => {
    transport.close();
    await server.close();
    await rm(directory, { recursive: true });
  };
  const runs = createClient(RunService, transport);
  const eventsOf = async (runId: string): Promise<(string | undefined)[]> => {
    const kinds: (string | undefined)[] = [];
    for await (const { update } of runs.watchRun({ runId })) {
      if (update.case === "event") {
        kinds.push(update.value.event.case);
      }
    }
    return kinds;
  };
  /** Answers the events of the run that the call has made. */
  const callPlain = async (): Promise<(string | undefined)[]> => {
    let runId = "";
    await createClient(WorkflowsService, transport).plain(
      {},
      {
        onTrailer: (trailer) => {
          runId = trailer.get("retake-run-id") ?? "";
        },
      },
    );
    return eventsOf(runId);
  };
  return { port: server.port, headers: server.headers ?? [], transport, runs, eventsOf, callPlain };
}
