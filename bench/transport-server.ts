import { createServer } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { addConnectService } from "../src/transport/index.ts";
import { TransportService, UnaryRequestSchema, UnaryResponseSchema } from "../test/gen/retake/test/v1/transport_pb.js";

// One side of transport-ab.ts: `bare` grpc-js with protobuf-es, or the `bridge` with four pass-through interceptors.
const server = new Server({ "grpc.enable_channelz": 0 });
if (process.argv[2] === "bare") {
  server.addService(
    {
      Unary: {
        path: "/retake.test.v1.TransportService/Unary",
        requestStream: false,
        responseStream: false,
        requestSerialize: (message) => Buffer.from(toBinary(UnaryRequestSchema, message)),
        requestDeserialize: (bytes) => fromBinary(UnaryRequestSchema, bytes),
        responseSerialize: (message) => Buffer.from(toBinary(UnaryResponseSchema, message)),
        responseDeserialize: (bytes) => fromBinary(UnaryResponseSchema, bytes),
      },
    },
    {
      Unary: (_call: unknown, callback: (error: null, value: unknown) => void) => {
        callback(null, create(UnaryResponseSchema));
      },
    },
  );
} else {
  const passThrough: Interceptor = (next) => async (request) => await next(request);
  addConnectService(server, TransportService, { unary: () => ({}) }, { interceptors: new Array(4).fill(passThrough) });
}

// Both listen alike, so that only the handling of calls differs.
const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
const listener = createServer((socket) => injector.injectConnection(socket));
listener.listen(0, "127.0.0.1", () => {
  process.send?.({ port: (listener.address() as { port: number }).port });
});
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMicros: user + system });
});
