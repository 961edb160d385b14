import { hasSubscribers } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { Code, createClient } from "@connectrpc/connect";
import { credentials, Metadata, Server } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  addConnectService,
  createGrpcTransport,
  type GrpcListenOptions,
  listenGrpc,
  peerKey,
  type ServerTls,
} from "../../src/transport/index.ts";
import { TransportService } from "../gen/retake/test/v1/transport_pb.js";
import { caCertificate, clientCertificate, clientKey, serverCertificate, serverKey } from "./certificates.ts";
import { failure, type TestImplementation } from "./transport-contract.ts";

async function listen(implementation: TestImplementation = {}, options: Partial<GrpcListenOptions> = {}) {
  const server = new Server({ "grpc.enable_channelz": 0 });
  addConnectService(server, TransportService, implementation);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0, ...options });
  onTestFinished(() => listener.destroy());
  return { server, listener };
}

function callerOf(port: number, channelCredentials = credentials.createInsecure()) {
  const transport = createGrpcTransport({ target: `localhost:${port}`, credentials: channelCredentials });
  onTestFinished(() => transport.close());
  return createClient(TransportService, transport);
}

describe("a port that cannot be bound", () => {
  test("in use rejects with what to do, and the system's code", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const error = await listenGrpc(new Server(), { host: "127.0.0.1", port }).then(
      () => expect.unreachable(),
      (reason: NodeJS.ErrnoException) => reason,
    );
    expect(error.code).toBe("EADDRINUSE");
    expect(error.message).toBe(
      `cannot listen on 127.0.0.1:${port}: the port is in use: stop what listens there, or choose another port`,
    );
    expect(error.cause).toBeInstanceOf(Error);
  });

  test("of another machine's address rejects too", async () => {
    // An address for documentation (RFC 5737), which no machine has.
    await expect(listenGrpc(new Server(), { host: "192.0.2.1", port: 0 })).rejects.toMatchObject({
      code: "EADDRNOTAVAIL",
    });
  });
});

describe("connections", () => {
  test("above the limit are closed at once; others are served", async () => {
    const { listener } = await listen({ unary: () => ({ text: "served" }) }, { maxConnections: 2 });
    const client = callerOf(listener.port);
    await client.unary({});
    const second = connect(listener.port, "127.0.0.1");
    onTestFinished(() => void second.destroy());
    await once(second, "connect");
    while (listener.connections < 2) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const third = connect(listener.port, "127.0.0.1");
    third.resume();
    await once(third, "close");
    expect(listener.connections).toBe(2);
    expect((await client.unary({})).text).toBe("served");
    second.destroy();
    while (listener.connections > 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await callerOf(listener.port).unary({});
  });

  test("that speak no HTTP/2 or break harm nothing", async () => {
    const { listener } = await listen({ unary: () => ({}) });
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write("GET / HTTP/1.1\r\n\r\n");
    socket.resume();
    await once(socket, "close");
    const breaking = connect(listener.port, "127.0.0.1");
    await once(breaking, "connect");
    breaking.resetAndDestroy();
    await callerOf(listener.port).unary({});
  });
});

describe("closing", () => {
  test("lets calls under way finish, and accepts no more", async () => {
    const started = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const { listener } = await listen({
      unary: async () => {
        started.resolve();
        await answer.promise;
        return { text: "finished" };
      },
    });
    const call = callerOf(listener.port).unary({});
    await started.promise;
    let closed = false;
    const closing = listener.close().then(() => {
      closed = true;
    });
    const late = connect(listener.port, "127.0.0.1");
    const [refusal] = await once(late, "error");
    expect(refusal.code).toBe("ECONNREFUSED");
    expect(closed).toBe(false);
    answer.resolve();
    expect((await call).text).toBe("finished");
    await closing;
    expect(listener.connections).toBe(0);
  });

  test("by force shows callers Unavailable, which they may retry, not Canceled", async () => {
    const started = Promise.withResolvers<void>();
    const { listener } = await listen({
      unary: async () => {
        started.resolve();
        return await new Promise(() => undefined);
      },
    });
    const call = failure(callerOf(listener.port).unary({}));
    await started.promise;
    await listener.destroy();
    expect((await call).code).toBe(Code.Unavailable);
  });

  test("twice is closing once, and the server can be shut down after it", async () => {
    const { listener, server } = await listen();
    await Promise.all([listener.close(), listener.close(), listener.destroy()]);
    await new Promise<void>((resolve, reject) => {
      server.tryShutdown((error) => (error === undefined ? resolve() : reject(error)));
    });
  });

  test("leaves no watcher of HTTP/2 streams behind", async () => {
    const name = "http2.server.stream.created";
    const first = await listen();
    const second = await listen();
    expect(hasSubscribers(name)).toBe(true);
    await first.listener.close();
    await first.listener.close();
    expect(hasSubscribers(name)).toBe(true);
    await second.listener.close();
    expect(hasSubscribers(name)).toBe(false);
  });
});

describe("TLS", () => {
  const serverTls = (checkClients: boolean): ServerTls => ({
    certificate: Buffer.from(serverCertificate),
    key: Buffer.from(serverKey),
    ...(checkClients && { clientCa: Buffer.from(caCertificate) }),
  });
  const implementation: TestImplementation = {
    unary: (_, context) => {
      const peer = context.values.get(peerKey);
      return { text: `${peer?.certificate?.subject.CN} at ${peer?.address}` };
    },
  };

  test("tells a verified client certificate", async () => {
    const { listener } = await listen(implementation, { tls: serverTls(true) });
    const client = callerOf(
      listener.port,
      credentials.createSsl(Buffer.from(caCertificate), Buffer.from(clientKey), Buffer.from(clientCertificate)),
    );
    expect((await client.unary({})).text).toMatch(/^ann at (127\.0\.0\.1|::1|::ffff:127\.0\.0\.1):\d+$/);
  });

  test("refuses a client without one when it is required", async () => {
    const { listener } = await listen(implementation, { tls: serverTls(true) });
    const client = callerOf(listener.port, credentials.createSsl(Buffer.from(caCertificate)));
    expect((await failure(client.unary({}, { timeoutMs: 5000 }))).code).toBe(Code.Unavailable);
  });

  test("lets a client do without one where it is optional, and cuts off one that is not of the authority", async () => {
    const optional = { ...serverTls(true), clientCertificateOptional: true };
    const own = [Buffer.from(clientKey), Buffer.from(clientCertificate)] as const;
    const { listener } = await listen(implementation, { tls: optional });
    const anonymous = callerOf(listener.port, credentials.createSsl(Buffer.from(caCertificate)));
    expect((await anonymous.unary({})).text).toMatch(/^undefined at /);
    const known = callerOf(listener.port, credentials.createSsl(Buffer.from(caCertificate), ...own));
    expect((await known.unary({})).text).toMatch(/^ann at /);

    // Another authority from now on, for connections that are new.
    listener.renewTls({ ...optional, clientCa: Buffer.from(serverCertificate) });
    expect((await known.unary({})).text).toMatch(/^ann at /);
    const late = callerOf(listener.port, credentials.createSsl(Buffer.from(caCertificate), ...own));
    expect((await failure(late.unary({}, { timeoutMs: 5000 }))).code).toBe(Code.Unavailable);
    const stillAnonymous = callerOf(listener.port, credentials.createSsl(Buffer.from(caCertificate)));
    expect((await stillAnonymous.unary({})).text).toMatch(/^undefined at /);
    expect(() => listener.renewTls({ ...optional, key: Buffer.from(clientKey) })).toThrow("key values mismatch");
  });

  test("lets a transport send call credentials", async () => {
    const { listener } = await listen(
      { unary: (_, context) => ({ text: context.requestHeader.get("authorization") ?? "" }) },
      { tls: serverTls(false) },
    );
    const transport = createGrpcTransport({
      target: `localhost:${listener.port}`,
      credentials: credentials.createSsl(Buffer.from(caCertificate)),
      callCredentials: credentials.createFromMetadataGenerator((_options, callback) => {
        const metadata = new Metadata();
        metadata.set("authorization", "Bearer t");
        callback(null, metadata);
      }),
    });
    onTestFinished(() => transport.close());
    const client = createClient(TransportService, transport);
    expect((await client.unary({})).text).toBe("Bearer t");
  });

  test("tells no certificate where none is asked for", async () => {
    const { listener } = await listen(implementation, { tls: serverTls(false) });
    const client = callerOf(listener.port, credentials.createSsl(Buffer.from(caCertificate)));
    expect((await client.unary({})).text).toMatch(/^undefined at /);
  });
});
