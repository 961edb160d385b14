import { Code, createClient } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { FailureSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer } from "../../src/server/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "../server/handlers.ts";
import { rejection, startServer, stopServer } from "../server/harness.ts";
import { recordingLogger } from "../server/listening-server.ts";

// In real time: virtual time stands still until everything has settled, which this never does.
it("lets others have a turn while a handler yields without ever waiting, and stops it when its run is cancelled", async () => {
  const server = createServer(
    { grpc: { disabled: true }, web: { disabled: true } },
    { log: silentLogger, openStorage: () => createMemoryStorage({ clock: systemClock }) },
  );
  server.implement(
    WorkflowsService,
    handlers({
      async *streaming() {
        for (;;) yield { update: { case: "progress", value: { fraction: 0.5 } } };
      },
    }),
  );
  await server.listen();
  onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
  const workflows = createClient(WorkflowsService, server.transport);
  const runs = createClient(RunService, server.transport);

  const { run } = await runs.startRun({ workflow: `${WorkflowsService.typeName}/Streaming` });
  const runId = run?.runId ?? "";
  expect((await workflows.plain({ text: "still here" })).text).toBe("still here");
  await runs.cancelRun({ runId });
  for await (const { update } of runs.watchRun({ runId })) {
    if (update.case === "event" && update.value.event.case === "cancelled") break;
  }
  expect((await runs.getRun({ runId })).run?.state).toBe(RunState.CANCELLED);
});

it("keeps what a handler throws in the log, under the reference that callers get", async () => {
  const log = recordingLogger();
  const thrown = Object.assign(new Error("connect ECONNREFUSED 10.0.0.7:5432"), { code: "ECONNREFUSED" });
  const harness = await startServer(
    {
      plain: () => {
        throw new Error("the ledger is away", { cause: thrown });
      },
    },
    { log },
  );
  onTestFinished(() => stopServer(harness));
  const error = await rejection(harness.workflows.plain({}), Code.Unavailable);
  const [failure] = error.findDetails(FailureSchema);
  expect(error.rawMessage).toBe(
    `the workflow failed: a connection was refused (ECONNREFUSED); the server's log has more under reference ${failure?.referenceId}`,
  );
  expect(JSON.stringify(failure?.causes)).not.toMatch(/ledger|10\.0\.0\.7/);
  const [logged] = log.entries.filter(({ level }) => level === "error");
  expect(logged?.fields).toMatchObject({ err: { cause: thrown }, referenceId: failure?.referenceId });
});
