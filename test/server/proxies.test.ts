import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { describe, expect, it, onTestFinished } from "vitest";
import { QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { PersonalData } from "../../gen/retake/v1/audit_config_pb.js";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { type RateLimitSchema, RateLimitScope } from "../../gen/retake/v1/rate_limit_config_pb.js";
import { ForwardedHeader } from "../../gen/retake/v1/security_config_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";
import { caCertificate, serverCertificate, serverKey } from "../transport/certificates.ts";
import { binaryPreamble, localPreamble } from "../transport/preambles.ts";
import { jsonCall, type ListeningServer, readToEnd, startListening } from "./listening-server.ts";

const plain = "/retake.test.v1.WorkflowsService/Plain";

/** A second call of one source is refused, which tells who it is. */
const rateLimits: MessageInitShape<typeof RateLimitSchema>[] = [
  { scope: [RateLimitScope.SOURCE], limit: 1, window: { seconds: 3600n }, workflows: [plain.slice(1)] },
];

function start({ security, ...config }: MessageInitShape<typeof ServerConfigSchema> = {}): Promise<ListeningServer> {
  const own = { rateLimits, trustedProxies: ["127.0.0.1"], ...security } as typeof security;
  return startListening({}, { config: { ...config, ...(own && { security: own }) } as typeof config });
}

const proxyProtocol = { grpc: { proxyProtocol: true }, web: { proxyProtocol: true } };

/** What takes connections and passes them on, each behind a preamble: a proxy at an address of its own. */
async function relay(port: number, preamble: Buffer | string, address = "127.0.0.1"): Promise<number> {
  const server = createServer((socket) => {
    const onward = connect({ port, host: "127.0.0.1", localAddress: address, noDelay: true });
    const bytes = Buffer.from(preamble);
    // In parts, the last of them together with what the client sends.
    onward.write(bytes.subarray(0, 7));
    setImmediate(() => {
      onward.write(bytes.subarray(7));
      socket.pipe(onward).pipe(socket);
    });
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
      onTestFinished(() => void one.destroy());
    }
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

function grpcTo(port: number, ca?: string): Transport {
  const transport = createGrpcTransport({
    target: `localhost:${port}`,
    ...(ca !== undefined && { credentials: credentials.createSsl(Buffer.from(ca)) }),
  });
  onTestFinished(() => transport.close());
  return transport;
}

function webTo(port: number, ca?: string): Transport {
  return createConnectTransport({
    baseUrl: `${ca === undefined ? "http" : "https"}://localhost:${port}`,
    httpVersion: "1.1",
    ...(ca !== undefined && { nodeOptions: { ca } }),
  });
}

/** Who a caller is taken for. */
async function sourceOf(transport: Transport, headers: Record<string, string> = {}): Promise<string | undefined> {
  const { plain: call } = createClient(WorkflowsService, transport);
  await call({}, { headers });
  const error = ConnectError.from(await call({}, { headers }).catch((thrown: unknown) => thrown));
  return error.findDetails(QuotaFailureSchema)[0]?.violations[0]?.subject;
}

describe("connections of trusted proxies by the PROXY protocol", () => {
  it("count as their clients', on both ports, in both versions", async () => {
    const { grpcPort, webPort } = await start(proxyProtocol);
    const line = (address: string) => `PROXY TCP4 ${address} 198.51.100.1 51234 443\r\n`;
    expect(await sourceOf(grpcTo(await relay(grpcPort, line("203.0.113.1"))))).toBe("source:203.0.113.1");
    expect(await sourceOf(webTo(await relay(webPort, line("203.0.113.2"))))).toBe("source:203.0.113.2");
    expect(await sourceOf(grpcTo(await relay(grpcPort, binaryPreamble("2001:db8::3", 1))))).toBe(
      "source:2001:db8:0:0::/64",
    );
    expect(await sourceOf(webTo(await relay(webPort, binaryPreamble("2001:db8:4::4", 1))))).toBe(
      "source:2001:db8:4:0::/64",
    );
    // What a client says by itself is nobody's word.
    const made = { "x-forwarded-for": "203.0.113.99" };
    expect(await sourceOf(grpcTo(await relay(grpcPort, line("203.0.113.5"))), made)).toBe("source:203.0.113.5");
    expect(await sourceOf(webTo(await relay(webPort, line("203.0.113.6"))), made)).toBe("source:203.0.113.6");
    // Nor does it become the proxy's where that does not tell whose a connection is.
    const untold = "PROXY UNKNOWN\r\n";
    expect(await sourceOf(grpcTo(await relay(grpcPort, untold)), made)).toBe("source:unknown");
    const { plain: call } = createClient(WorkflowsService, webTo(await relay(webPort, untold)));
    await expect(call({}, { headers: made })).rejects.toThrow("too many calls of source:unknown");
    // Health checks of the proxy are its own.
    expect(await sourceOf(webTo(await relay(webPort, localPreamble)))).toBe("source:127.0.0.1");
  });

  it("are told apart beneath TLS", async () => {
    const directory = temporaryDirectory();
    const tls = { certificateFile: join(directory, "server.pem"), keyFile: join(directory, "server.key") };
    writeFileSync(tls.certificateFile, serverCertificate);
    writeFileSync(tls.keyFile, serverKey);
    const { grpcPort, webPort } = await start({
      grpc: { proxyProtocol: true, tls },
      web: { proxyProtocol: true, tls },
    });
    const ca = caCertificate;
    expect(await sourceOf(grpcTo(await relay(grpcPort, binaryPreamble("203.0.113.1", 1)), ca))).toBe(
      "source:203.0.113.1",
    );
    expect(await sourceOf(webTo(await relay(webPort, binaryPreamble("203.0.113.2", 1)), ca))).toBe(
      "source:203.0.113.2",
    );
  });

  it("that begin otherwise are closed, and the log says why", async () => {
    const { grpcPort, webPort, log } = await start(proxyProtocol);
    for (const port of [grpcPort, webPort]) {
      const socket = connect(port, "127.0.0.1");
      socket.write(jsonCall(plain, "{}"));
      expect(await readToEnd(socket)).toBe("");
    }
    expect(log.filter(({ level }) => level === "warn").map(({ fields }) => fields)).toEqual([
      { field: "grpc.proxy_protocol", address: "127.0.0.1" },
      { field: "web.proxy_protocol", address: "127.0.0.1" },
    ]);
  });

  it("of others are taken as they are, and refused where they begin so", async () => {
    const { grpcPort, webPort } = await start(proxyProtocol);
    const stranger = "127.0.0.2";
    expect(await sourceOf(grpcTo(await relay(grpcPort, "", stranger)))).toBe(`source:${stranger}`);
    expect(await sourceOf(webTo(await relay(webPort, "", "127.0.0.3")))).toBe("source:127.0.0.3");
    for (const preamble of [binaryPreamble("203.0.113.1", 1), "PROXY TCP4 203.0.113.1 198.51.100.1 1 2\r\n"]) {
      for (const port of [grpcPort, webPort]) {
        const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.4" });
        socket.on("error", () => undefined);
        socket.write(preamble);
        socket.write(jsonCall(plain, "{}", { connection: "close" }));
        expect(await readToEnd(socket)).not.toContain("200 OK");
      }
    }
  });

  it("have the limits of one source each", async () => {
    const limits = { maxConnectionsPerSource: 1 };
    const { grpcPort, webPort } = await start({
      grpc: { proxyProtocol: true, limits },
      web: { proxyProtocol: true, limits },
    });
    const line = (address: string) => `PROXY TCP4 ${address} 198.51.100.1 51234 443\r\n`;
    const opened = async (port: number, address: string) => {
      const socket = connect(await relay(port, line(address)), "127.0.0.1");
      onTestFinished(() => void socket.destroy());
      await once(socket, "connect");
      return socket;
    };
    for (const [port, to] of [
      [grpcPort, grpcTo],
      [webPort, webTo],
    ] as const) {
      const address = to === grpcTo ? "203.0.113.1" : "203.0.113.3";
      await createClient(WorkflowsService, to(await relay(port, line(address)))).plain({});
      const more = await opened(port, address);
      expect(await readToEnd(more)).toBe("");
    }
    expect(await sourceOf(grpcTo(await relay(grpcPort, line("203.0.113.2"))))).toBe("source:203.0.113.2");
  });

  it("that stay silent do not hold up a server that closes", async () => {
    const { grpcPort, webPort, server } = await start(proxyProtocol);
    const ends = [grpcPort, webPort].map((port) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => undefined);
      return once(socket, "close");
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const started = performance.now();
    await server.close({ drainTimeoutMs: 0 });
    await Promise.all(ends);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

describe("calls that trusted proxies pass on", () => {
  it("count as those of whom X-Forwarded-For names last, on both ports, and are on record so", async () => {
    const { grpcPort, webPort, server } = await start({
      security: { trustedProxies: ["127.0.0.0/31"], redaction: { personalData: PersonalData.KEEP } },
    });
    const forwardedFor = (addresses: string) => ({ "x-forwarded-for": addresses });
    expect(await sourceOf(grpcTo(grpcPort), forwardedFor("198.51.100.9, 203.0.113.1"))).toBe("source:203.0.113.1");
    expect(await sourceOf(webTo(webPort), forwardedFor("198.51.100.9, 203.0.113.2, 127.0.0.1"))).toBe(
      "source:203.0.113.2",
    );
    expect(await sourceOf(webTo(webPort), { forwarded: "for=203.0.113.9" })).toBe("source:127.0.0.1");

    const headers = { ...forwardedFor("203.0.113.3"), "x-api-key": "rtk_wrong" };
    const admin = createClient(AdminService, server.transport);
    // A stream goes another way through grpc-js.
    const { streaming } = createClient(WorkflowsService, grpcTo(grpcPort));
    await expect(streaming({}, { headers })[Symbol.asyncIterator]().next()).rejects.toThrow();
    const { records } = await admin.listAuditRecords({ filter: { action: "auth.failed" } });
    expect(records.map(({ source }) => source)).toEqual(["203.0.113.3"]);
  });

  it("count by Forwarded where that is the proxies' header, and not by the other", async () => {
    const { webPort, grpcPort } = await start({ security: { forwardedHeader: ForwardedHeader.FORWARDED } });
    const headers = { forwarded: 'for="[2001:db8:5::1]:4711";proto=https', "x-forwarded-for": "203.0.113.9" };
    expect(await sourceOf(webTo(webPort), headers)).toBe("source:2001:db8:5:0::/64");
    headers.forwarded = "for=203.0.113.8";
    expect(await sourceOf(grpcTo(grpcPort), headers)).toBe("source:203.0.113.8");
  });

  it("do not count so from others, nor where no header is the proxies'", async () => {
    const headers = { "x-forwarded-for": "203.0.113.9" };
    const { webPort, grpcPort } = await start();
    expect(await sourceOf(webTo(await relay(webPort, "", "127.0.0.2")), headers)).toBe("source:127.0.0.2");
    expect(await sourceOf(grpcTo(await relay(grpcPort, "", "127.0.0.3")), headers)).toBe("source:127.0.0.3");
    const none = await start({ security: { forwardedHeader: ForwardedHeader.NONE } });
    expect(await sourceOf(webTo(none.webPort), headers)).toBe("source:127.0.0.1");
  });

  it("take as many connections as the proxies need", async () => {
    const limits = { maxConnectionsPerSource: 1 };
    const { webPort, grpcPort } = await start({ grpc: { limits }, web: { limits } });
    for (const address of ["203.0.113.1", "203.0.113.2"]) {
      const headers = { "x-forwarded-for": address };
      await createClient(WorkflowsService, grpcTo(grpcPort)).plain({}, { headers });
      await createClient(WorkflowsService, webTo(webPort)).plain({}, { headers: { "x-forwarded-for": `${address}1` } });
    }
  });
});
