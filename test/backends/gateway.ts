import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type ServiceImpl } from "@connectrpc/connect";
import { Server, type ServerCredentials } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import type { EndpointConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createServer } from "../../src/server/index.ts";
import { addConnectService, createGrpcTransport, listenGrpc } from "../../src/transport/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { recordingLogger } from "../server/listening-server.ts";

export interface BackendOptions {
  readonly port?: number;
  readonly credentials?: ServerCredentials;
  /** What its health service answers; it has none by default. */
  readonly health?: () => ServingStatus;
}

/** A gRPC server that knows nothing of runs and implements the contract itself. */
export async function startBackend(
  implementation: Partial<ServiceImpl<typeof WorkflowsService>>,
  { port = 0, credentials, health }: BackendOptions = {},
) {
  const server = new Server();
  addConnectService(server, WorkflowsService, implementation);
  if (health !== undefined) {
    addConnectService(server, Health, { check: () => ({ status: health() }) });
  }
  const listener = await listenGrpc(server, { host: "127.0.0.1", port, ...(credentials && { credentials }) });
  const stop = () => listener.destroy();
  onTestFinished(() => stop());
  return { port: listener.port, stop };
}

export { ServingStatus };

type EndpointInit = Omit<Exclude<MessageInitShape<typeof EndpointConfigSchema>, { $typeName: string }>, "target"> & {
  readonly port: number;
  /** Default: the port on this machine. */
  readonly target?: string;
};

/** A server in front of back-ends. */
export async function startGateway(endpoints: readonly EndpointInit[]) {
  const dataDirectory = await mkdtemp(join(tmpdir(), "retake-remote-"));
  const log = recordingLogger();
  const server = createServer(
    {
      dataDirectory,
      grpc: { port: 0 },
      web: { disabled: true },
      backends: [
        {
          service: WorkflowsService.typeName,
          endpoints: endpoints.map(({ port, ...endpoint }) => ({
            target: `dns:///127.0.0.1:${port}`,
            healthCheck: { interval: { nanos: 100_000_000 } },
            ...endpoint,
          })),
        },
      ],
      workflows: {
        [`${WorkflowsService.typeName}/Flaky`]: {
          retry: { initialBackoff: { nanos: 20_000_000 }, lowerQuality: true },
        },
      },
    },
    { log },
  );
  await server.serve(WorkflowsService).listen();
  const transport = createGrpcTransport({ target: `127.0.0.1:${server.grpc?.port}` });
  onTestFinished(async () => {
    transport.close();
    await server.close({ drainTimeoutMs: 0 });
    await rm(dataDirectory, { recursive: true, force: true });
  });
  const workflows: Client<typeof WorkflowsService> = createClient(WorkflowsService, transport);
  return { server, workflows, runs: createClient(RunService, transport), log: log.entries };
}
