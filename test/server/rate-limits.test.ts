import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import { RateLimitScope } from "../../gen/retake/v1/rate_limit_config_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { fetchWeb, startListening } from "./listening-server.ts";

describe("a limit of sources", () => {
  it("counts what comes by all ports and protocols together, and tells HTTP when to come back", async () => {
    const limit = { scope: [RateLimitScope.SOURCE], limit: 4, window: { seconds: 3600n } };
    const { grpc, web, webPort, server } = await startListening({}, { config: { security: { rateLimits: [limit] } } });
    const transports = [grpc, ...Object.values(web)];
    for (const transport of transports) await createClient(WorkflowsService, transport).plain({});
    for (const transport of transports) {
      const refused: unknown = await createClient(WorkflowsService, transport)
        .plain({})
        .catch((error: unknown) => error);
      expect((refused as ConnectError).code).toBe(Code.ResourceExhausted);
      const [quota] = (refused as ConnectError).findDetails(QuotaFailureSchema);
      expect(quota?.violations.map(({ subject }) => subject)).toEqual(["source:127.0.0.1"]);
    }
    const answer = await fetchWeb(webPort, "/retake.test.v1.WorkflowsService/Plain", { body: "{}" });
    expect(answer.status).toBe(429);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(800);
    // Probes, and code of this process, are nobody's calls.
    expect((await fetchWeb(webPort, "/readyz", { method: "GET" })).status).toBe(200);
    await createClient(WorkflowsService, server.transport).plain({});
  });
});

describe("a limit of a workflow", () => {
  it("holds for reruns, whose own calls count nowhere else a second time", async () => {
    const plain = `${WorkflowsService.typeName}/Plain`;
    const window = { seconds: 3600n };
    const { runs, workflows, server } = await startListening(
      {},
      {
        config: {
          security: {
            rateLimits: [
              { scope: [RateLimitScope.WORKFLOW], workflows: [plain], limit: 2, window },
              { scope: [RateLimitScope.PRINCIPAL], limit: 6, window },
            ],
          },
        },
      },
    );
    const { run } = await runs.startRun({ workflow: plain });
    const runId = run?.runId ?? "";
    for await (const _ of runs.watchRun({ runId }));
    const again = await runs.rerunRun({ runId });
    expect(again.run?.rerunOf).toBe(runId);
    for (const more of [
      runs.rerunRun({ runId }),
      runs.rerunRuns({ filter: { workflow: plain, states: [RunState.SUCCEEDED] }, force: true, batch: "b" }),
      workflows.plain({}),
    ]) {
      const error = ConnectError.from(await more.catch((thrown: unknown) => thrown));
      const [quota] = error.findDetails(QuotaFailureSchema);
      expect([error.code, quota?.violations[0]?.subject]).toEqual([Code.ResourceExhausted, `workflow:${plain}`]);
    }
    // Code of this process is nobody's call.
    await createClient(RunService, server.transport).rerunRun({ runId });
  });
});
