import type { Interceptor } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { addConnectService, listenGrpc } from "../../src/transport/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import type { BenchServer } from "./server.ts";

const passThrough: Interceptor = (next) => async (request) => await next(request);

/** The same echo as a Connect implementation behind four interceptors, on grpc-js. */
export async function startBridge(): Promise<BenchServer> {
  const server = new Server({ "grpc.enable_channelz": 0 });
  addConnectService(
    server,
    WorkflowsService,
    { plain: ({ text }) => ({ text }) },
    { interceptors: [passThrough, passThrough, passThrough, passThrough] },
  );
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });
  return { port: listener.port, close: () => listener.destroy() };
}
