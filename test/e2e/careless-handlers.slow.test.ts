import { join } from "node:path";
import { expect, it } from "vitest";
import { type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Connection, connect } from "./connection.ts";
import { createServerSite } from "./server-process.ts";

const held = `${WorkloadService.typeName}/Held`;
const plain = `${WorkflowsService.typeName}/Plain`;

async function start({ runs }: Connection, workflow: string, input: object): Promise<string> {
  const { run } = await runs.startRun({ workflow, input: { case: "json", value: JSON.stringify(input) } });
  return run?.runId ?? "";
}

async function endOf({ runs }: Connection, runId: string): Promise<Run | undefined> {
  for await (const _ of runs.watchRun({ runId }));
  return (await runs.getRun({ runId })).run;
}

it("handlers that leave errors to nobody fail their own runs, and no other", async () => {
  await using site = await createServerSite({
    flags: [`--handlers=${join(import.meta.dirname, "fixtures/careless-handlers.ts")}`],
    config: {
      workflows: {
        [plain]: { retry: { maxAttempts: 2, initialBackoff: "0.05s", retryableStatusCodes: ["INTERNAL"] } },
        // The first interruption that counts would end them.
        [held]: { maxInterruptions: 1 },
      },
    },
  });
  const first = site.launch();
  await first.ready;
  let timer: string;
  const innocents: string[] = [];
  {
    using connection = connect(site.grpcPort);
    for (const gate of ["one", "two"]) {
      const runId = await start(connection, held, { gate });
      // It has made its step, and waits.
      for await (const { update } of connection.runs.watchRun({ runId })) {
        if (update.case === "event" && update.value.event.case === "stepCompleted") break;
      }
      innocents.push(runId);
    }
    const reject = await start(connection, plain, { text: "reject" });
    expect(await endOf(connection, reject)).toMatchObject({
      state: RunState.FAILED,
      failure: { reason: "UNCAUGHT_ERROR" },
      statistics: { attempts: 2, interruptions: 0 },
    });
    timer = await start(connection, plain, { text: "timer" });
    expect(await first.exited).toEqual({ code: 1, signal: null });
  }
  const second = site.launch();
  expect(await second.exited).toEqual({ code: 1, signal: null });
  const third = site.launch();
  await third.ready;
  using connection = connect(site.grpcPort);
  expect(await endOf(connection, timer)).toMatchObject({
    state: RunState.FAILED,
    failure: { reason: "UNCAUGHT_ERROR" },
    statistics: { attempts: 2, interruptions: 0 },
  });
  for (const [index, gate] of ["one", "two"].entries()) {
    third.release(gate);
    expect(await endOf(connection, innocents[index] ?? "")).toMatchObject({
      state: RunState.SUCCEEDED,
      statistics: { attempts: 3, interruptions: 2 },
    });
  }

  const lines = [first, second].flatMap((one) => one.lines.map((line) => JSON.parse(line) as Record<string, unknown>));
  expect(lines.filter(({ level }) => level === 60).map((line) => [line["run_id"], line["attempt"]])).toEqual([
    [timer, 1],
    [timer, 2],
  ]);
  expect(lines.filter(({ level, err }) => level === 50 && JSON.stringify(err).includes("careless"))).toHaveLength(2);
}, 120_000);
