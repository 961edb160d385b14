import { Server } from "@grpc/grpc-js";
import { addConnectService, listenGrpc } from "../../src/transport/index.ts";
import { TransportService } from "../gen/retake/test/v1/transport_pb.js";

/** A server in a process of its own, whose streams never end. Tells its parent the port, and its state on request. */
let open = 0;
let produced = 0;

const server = new Server({ "grpc.enable_channelz": 0 });
addConnectService(server, TransportService, {
  unary: () => ({}),
  async *serverStream() {
    open++;
    try {
      for (;;) {
        produced++;
        yield { data: new Uint8Array(16_384) };
      }
    } finally {
      open--;
    }
  },
});
const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });

process.on("message", () => {
  const { user, system } = process.cpuUsage();
  const { rss } = process.memoryUsage();
  process.send?.({ open, produced, connections: listener.connections, cpuMs: (user + system) / 1000, rssBytes: rss });
});
process.send?.({ port: listener.port });
