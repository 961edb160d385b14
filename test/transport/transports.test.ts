import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { createServiceImplSpec, type Interceptor } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createGrpcTransport as createNodeGrpcTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Server } from "@grpc/grpc-js";
import {
  addConnectService,
  createGrpcTransport,
  createInProcessTransport,
  listenGrpc,
} from "../../src/transport/index.ts";
import { TransportService } from "../gen/retake/test/v1/transport_pb.js";
import { describeTransport, type TestImplementation } from "./transport-contract.ts";

interface Running {
  readonly port: number;
  close(): Promise<void>;
}

async function startGrpcJs(implementation: TestImplementation, interceptors: Interceptor[]): Promise<Running> {
  const server = new Server({ "grpc.enable_channelz": 0 });
  addConnectService(server, TransportService, implementation, { interceptors });
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0 });
  return { port: listener.port, close: () => listener.destroy() };
}

async function startConnectNode(implementation: TestImplementation, interceptors: Interceptor[]): Promise<Running> {
  const server = createServer(
    connectNodeAdapter({
      routes: (router) => router.service(TransportService, implementation),
      interceptors,
    }),
  );
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const session of sessions) {
        session.destroy();
      }
      server.close();
      await once(server, "close");
    },
  };
}

type StartServer = (implementation: TestImplementation, interceptors: Interceptor[]) => Promise<Running>;

function ownClient(startServer: StartServer) {
  return async (implementation: TestImplementation, interceptors: { server: Interceptor[]; client: Interceptor[] }) => {
    const server = await startServer(implementation, interceptors.server);
    const transport = createGrpcTransport({
      target: `127.0.0.1:${server.port}`,
      interceptors: interceptors.client,
      channelOptions: { "grpc.enable_channelz": 0 },
    });
    return {
      transport,
      async close() {
        transport.close();
        await server.close();
      },
    };
  };
}

function nodeClient(startServer: StartServer) {
  return async (implementation: TestImplementation, interceptors: { server: Interceptor[]; client: Interceptor[] }) => {
    const server = await startServer(implementation, interceptors.server);
    const baseUrl = `http://127.0.0.1:${server.port}`;
    const sessionManager = new Http2SessionManager(baseUrl);
    const transport = createNodeGrpcTransport({ baseUrl, interceptors: interceptors.client, sessionManager });
    return {
      transport,
      async close() {
        sessionManager.abort();
        await server.close();
      },
    };
  };
}

const localAddress = /^127\.0\.0\.1:\d+$/;

describeTransport("the grpc-js client with the grpc-js server", {
  start: ownClient(startGrpcJs),
  ownServer: true,
  ownClient: true,
  peerAddress: localAddress,
});

describeTransport("Connect's own gRPC client with the grpc-js server", {
  start: nodeClient(startGrpcJs),
  ownServer: true,
  ownClient: false,
  peerAddress: localAddress,
});

describeTransport("the grpc-js client with Connect's own server", {
  start: ownClient(startConnectNode),
  ownServer: false,
  ownClient: true,
});

describeTransport("the in-process transport", {
  start: async (implementation, interceptors) => ({
    transport: createInProcessTransport([createServiceImplSpec(TransportService, implementation)], {
      interceptors: interceptors.server,
      clientInterceptors: interceptors.client,
    }),
    close: () => Promise.resolve(),
  }),
  ownServer: true,
  ownClient: true,
  isLocal: true,
  peerAddress: /^in-process$/,
});
