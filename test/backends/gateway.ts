import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type ServiceImpl } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { BackendService } from "../../gen/retake/v1/backend_service_pb.js";
import type { EndpointConfigSchema, OutlierDetectionConfigSchema } from "../../gen/retake/v1/config_pb.js";
import type { WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { SecurityConfigSchema } from "../../gen/retake/v1/security_config_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer } from "../../src/server/index.ts";
import { addConnectService, createGrpcTransport, listenGrpc, type ServerTls } from "../../src/transport/index.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { recordingLogger } from "../server/listening-server.ts";

export interface BackendOptions {
  readonly port?: number;
  readonly tls?: ServerTls;
  /** What its health service answers; it has none by default. */
  readonly health?: () => ServingStatus | Promise<ServingStatus>;
  /** What it offers beside its contract; nothing by default. */
  readonly jobs?: Partial<ServiceImpl<typeof BackendService>>;
}

/** A gRPC server that knows nothing of runs and implements the contract itself. */
export async function startBackend(
  implementation: Partial<ServiceImpl<typeof WorkflowsService>>,
  { port = 0, tls, health, jobs }: BackendOptions = {},
) {
  const server = new Server();
  addConnectService(server, WorkflowsService, implementation);
  if (health !== undefined) {
    addConnectService(server, Health, { check: async () => ({ status: await health() }) });
  }
  if (jobs !== undefined) {
    addConnectService(server, BackendService, jobs);
  }
  const listener = await listenGrpc(server, { host: "127.0.0.1", port, ...(tls && { tls }) });
  const stop = () => listener.destroy();
  onTestFinished(() => stop());
  return { port: listener.port, stop, connections: () => listener.connections };
}

export { ServingStatus };

type Init<Desc extends DescMessage> = Exclude<MessageInitShape<Desc>, { $typeName: string }>;

type EndpointInit = Omit<Init<typeof EndpointConfigSchema>, "target"> & {
  readonly port: number;
  /** Default: the port on this machine. */
  readonly target?: string;
};

export interface GatewayOptions {
  /** Of Flaky, besides short waits. */
  readonly flaky?: Init<typeof WorkflowPolicySchema>;
  readonly plain?: Init<typeof WorkflowPolicySchema>;
  /** Default: everyone is ADMIN. */
  readonly security?: Init<typeof SecurityConfigSchema>;
  readonly outlierDetection?: Init<typeof OutlierDetectionConfigSchema>;
}

/** A server in front of back-ends. */
export async function startGateway(endpoints: readonly EndpointInit[], options: GatewayOptions = {}) {
  const log = recordingLogger();
  const server = createServer(
    {
      grpc: { port: 0 },
      web: { disabled: true },
      security: options.security ?? everyoneIsAdmin,
      backends: [
        {
          service: WorkflowsService.typeName,
          endpoints: endpoints.map(({ port, ...endpoint }) => ({
            target: `dns:///127.0.0.1:${port}`,
            healthCheck: { interval: { nanos: 100_000_000 } },
            ...endpoint,
          })),
          ...(options.outlierDetection && { outlierDetection: options.outlierDetection }),
        },
      ],
      workflows: {
        ...(options.plain && { [`${WorkflowsService.typeName}/Plain`]: options.plain }),
        [`${WorkflowsService.typeName}/Flaky`]: {
          retry: { initialBackoff: { nanos: 20_000_000 }, lowerQuality: true },
          ...options.flaky,
        },
      },
    },
    { log, openStorage: (_, clock) => createMemoryStorage({ clock }) },
  );
  await server.serve(WorkflowsService).listen();
  const transport = createGrpcTransport({ target: `127.0.0.1:${server.grpc?.port}` });
  onTestFinished(async () => {
    transport.close();
    await server.close({ drainTimeoutMs: 0 });
  });
  const workflows: Client<typeof WorkflowsService> = createClient(WorkflowsService, transport);
  return { server, workflows, runs: createClient(RunService, transport), log: log.entries };
}
