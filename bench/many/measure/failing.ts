import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { WorkflowsService } from "../../../test/gen/retake/test/v1/workflows_pb.js";
import { createCallTemplates } from "../../grpc-request.ts";
import { until } from "../load.ts";
import { ManyProcess } from "../many-process.ts";
import { type Answer, OpenConnection } from "../open-connection.ts";
import { connectRuns } from "../run-client.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const runsAtOnce = 1000;
const flakyWorkflow = `${WorkflowsService.typeName}/Flaky`;

/** Callers of as many runs at once, each of which fails at first: every one is answered with OK by its second attempt. */
export async function measureFailing(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using server = await ManyProcess.start({ kind: "working", directory, limit: 8, queueLimit: 100 }, signal);
  const calls = scaled(runsAtOnce, options);
  const answers: Answer[] = [];
  const templates = createCallTemplates(`/${flakyWorkflow}`, new Uint8Array());
  const connection = await OpenConnection.connect(server.port, templates, (answer) => answers.push(answer));
  try {
    const startMs = performance.now();
    connection.send(calls);
    await until("all answers", () => answers.length === calls, signal, 60_000);
    const ms = performance.now() - startMs;
    const answered = answers.filter(({ status }) => status === 0).length;
    const retaken = await countRetaken(server.port, calls);
    return new Map([
      ["failing-at-once", [Math.min(answered, retaken) / calls]],
      ["failing-at-once-time", [ms]],
    ]);
  } finally {
    connection.close();
  }
}

/** The runs that succeeded by a second attempt, as their journal has it. */
async function countRetaken(port: number, most: number): Promise<number> {
  using client = connectRuns(port);
  const { runs } = await client.runs.listRuns({ workflow: flakyWorkflow, pageSize: most });
  return runs.filter(({ state, statistics }) => state === RunState.SUCCEEDED && statistics?.attempts === 2).length;
}
