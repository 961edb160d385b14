import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";

/** Plain clients over one connection, which retries nothing by itself. */
export interface Connection extends Disposable {
  readonly workloads: Client<typeof WorkloadService>;
  readonly runs: Client<typeof RunService>;
  readonly health: Client<typeof Health>;
  readonly admin: Client<typeof AdminService>;
}

/** Connects to the gRPC port of a server that listens. */
export function connect(port: number, interceptors: readonly Interceptor[] = []): Connection {
  const transport = createGrpcTransport({
    interceptors,
    target: `127.0.0.1:${port}`,
    channelOptions: {
      "grpc.enable_channelz": 0,
      // Channels share connections, and with them how long the last one that failed makes them wait.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
    },
  });
  return {
    workloads: createClient(WorkloadService, transport),
    runs: createClient(RunService, transport),
    health: createClient(Health, transport),
    admin: createClient(AdminService, transport),
    [Symbol.dispose]: () => transport.close(),
  };
}
