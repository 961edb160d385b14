import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";

/** What is called without being measured. */
export interface RunClient extends Disposable {
  readonly runs: Client<typeof RunService>;
  readonly transport: Transport;
}

export const plainWorkflow = `${WorkflowsService.typeName}/Plain`;
export const streamingWorkflow = `${WorkflowsService.typeName}/Streaming`;

export function connectRuns(port: number): RunClient {
  const transport = createGrpcTransport({
    target: `127.0.0.1:${port}`,
    channelOptions: { "grpc.enable_channelz": 0, "grpc.use_local_subchannel_pool": 1 },
  });
  return { runs: createClient(RunService, transport), transport, [Symbol.dispose]: () => transport.close() };
}

/** Starts a run, and tells its id. */
export async function startRun({ runs }: RunClient, workflow: string): Promise<string> {
  const { run } = await runs.startRun({ workflow });
  if (run === undefined) {
    throw new Error(`no run of ${workflow} was started`);
  }
  return run.runId;
}
