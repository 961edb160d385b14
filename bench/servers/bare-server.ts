import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import type { PlainRequest, PlainResponse } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { plainDefinition } from "./plain-method.ts";
import type { BenchServer } from "./server.ts";

/** Serves the method by grpc-js alone; without its channelz bookkeeping, which our servers do without too. */
export async function startBareServer(plain: handleUnaryCall<PlainRequest, PlainResponse>): Promise<BenchServer> {
  const server = new Server({ "grpc.enable_channelz": 0 });
  server.addService(plainDefinition, { Plain: plain });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) {
        resolve(bound);
      } else {
        reject(error);
      }
    });
  });
  return {
    port,
    close: async () => server.forceShutdown(),
  };
}
