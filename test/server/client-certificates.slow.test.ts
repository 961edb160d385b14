import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { ClientCertificate } from "../../gen/retake/v1/config_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer, type RetakeServer } from "../../src/server/index.ts";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { type Authority, createAuthority, type SignedPair } from "../authority.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { describeWithTool } from "../tools.ts";
import { handlers } from "./handlers.ts";
import { type LogEntry, recordingLogger } from "./listening-server.ts";

describeWithTool("openssl", "a server that asks for certificates", () => {
  let directory: string;
  let authority: Authority;
  let stranger: Authority;
  let serverPair: SignedPair;
  let render: SignedPair;
  let ann: SignedPair;
  let server: RetakeServer;
  let log: readonly LogEntry[];

  const path = (name: string): string => join(directory, name);
  const write = (name: string, text: string): void => writeFileSync(path(name), text);
  const writePair = ({ certificate, key }: SignedPair): void => {
    write("server.pem", certificate);
    write("server.key", key);
  };
  const port = (front: "grpc" | "web"): number => server[front]?.port ?? 0;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "retake-mtls-"));
    authority = createAuthority();
    stranger = createAuthority("Somebody else");
    serverPair = authority.sign("/CN=first", "DNS:localhost,IP:127.0.0.1");
    render = authority.sign("/O=Render/CN=worker 7", "URI:spiffe://example/render/7");
    ann = authority.sign("/CN=ann", "email:ann@example.org");
    writePair(serverPair);
    write("ca.pem", authority.certificate);
    write("revoked.pem", authority.revoke());
    const recording = recordingLogger();
    log = recording.entries;
    const tls = {
      certificateFile: path("server.pem"),
      keyFile: path("server.key"),
      clientCaFile: path("ca.pem"),
      clientCrlFile: path("revoked.pem"),
      clientCertificate: ClientCertificate.OPTIONAL,
    };
    const rules = [
      {
        condition: `certificate.uris.exists(u, u.startsWith("spiffe://example/render/"))`,
        identity: { subject: "certificate.uris[0]", tenant: `"render"` },
      },
      { condition: `certificate.emails.exists(e, e.endsWith("@example.org"))` },
    ];
    server = createServer(
      {
        ...{ grpc: { port: 0, tls }, web: { port: 0, tls }, security: { mtls: rules } },
        workflows: { [`${WorkflowsService.typeName}/Plain`]: { access: { min: AccessLevel.PUBLIC } } },
      },
      { openStorage: (_, clock) => createMemoryStorage({ clock }), log: recording },
    ).implement(
      WorkflowsService,
      handlers({ plain: (_, context) => ({ text: `${context.run.owner.tenant}/${context.run.owner.subject}` }) }),
    );
    await server.listen();
  });

  afterAll(async () => {
    await server.close({ drainTimeoutMs: 0 });
    rmSync(directory, { recursive: true });
  });

  const overGrpc = (pair?: SignedPair, ca = authority): Transport => {
    const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));
    const transport = createGrpcTransport({
      target: `localhost:${port("grpc")}`,
      credentials: credentials.createSsl(pem(ca.certificate), pem(pair?.key), pem(pair?.certificate)),
    });
    onTestFinished(() => transport.close());
    return transport;
  };
  const overWeb = (pair?: SignedPair, ca = authority): Transport =>
    createConnectTransport({
      baseUrl: `https://localhost:${port("web")}`,
      httpVersion: "1.1",
      nodeOptions: { ca: ca.certificate, agent: false, ...(pair && { cert: pair.certificate, key: pair.key }) },
    });
  /** Whom a run belongs to that is started over this, or the code of the refusal. */
  const owner = async (transport: Transport, headers: Record<string, string> = {}): Promise<string> =>
    createClient(WorkflowsService, transport)
      .plain({}, { headers, timeoutMs: 5000 })
      .then(
        ({ text }) => text,
        (error: unknown) => Code[ConnectError.from(error).code] ?? "",
      );
  const onBoth = async (pair?: SignedPair): Promise<readonly string[]> => [
    await owner(overGrpc(pair)),
    await owner(overWeb(pair)),
  ];
  /** Whose certificate the port shows now. */
  const shown = async (front: "grpc" | "web"): Promise<string | string[] | undefined> => {
    const socket = connectTls({
      host: "localhost",
      port: port(front),
      ca: authority.certificate,
      ALPNProtocols: [front === "grpc" ? "h2" : "http/1.1"],
    });
    await once(socket, "secureConnect");
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return subject.CN;
  };

  it("tells callers by them on both ports", async () => {
    expect(await onBoth(render)).toEqual(["render/spiffe://example/render/7", "render/spiffe://example/render/7"]);
    expect(await onBoth(ann)).toEqual(["default/ann", "default/ann"]);
  });

  it("takes callers without one for anonymous, where they are optional", async () => {
    expect(await onBoth()).toEqual(["default/anonymous", "default/anonymous"]);
  });

  it("cuts off certificates of another authority, though they are optional", async () => {
    const forged = stranger.sign("/CN=ann", "email:ann@example.org");
    const codes = await onBoth(forged);
    expect(codes[0]).toBe("Unavailable");
    expect(codes[1]).not.toMatch(/^default/);
  });

  it("refuses those that no rule is for, on every call of the connection", async () => {
    const unknown = authority.sign("/CN=nobody", "DNS:nobody.example");
    const transport = overGrpc(unknown);
    expect(await owner(transport)).toBe("Unauthenticated");
    expect(await owner(transport)).toBe("Unauthenticated");
    expect(await owner(overWeb(unknown))).toBe("Unauthenticated");
    expect(log).toContainEqual(
      expect.objectContaining({ message: expect.stringContaining("no rule of security.mtls") }),
    );
  });

  it("follows its files under open connections: a new certificate, broken files, a revocation, another authority", async () => {
    const [before, open] = [overGrpc(render), overGrpc(ann)];
    expect(await owner(before)).toBe("render/spiffe://example/render/7");
    expect(await owner(open)).toBe("default/ann");
    const next = authority.sign("/CN=second", "DNS:localhost,IP:127.0.0.1");

    write("server.pem", next.certificate);
    await server.reload();
    expect([await shown("grpc"), await shown("web")]).toEqual(["first", "first"]);
    expect(log).toContainEqual(
      expect.objectContaining({
        level: "error",
        message: expect.stringContaining("the changed files of TLS cannot be used"),
      }),
    );

    write("server.key", next.key);
    await server.reload();
    expect([await shown("grpc"), await shown("web")]).toEqual(["second", "second"]);
    expect(await owner(before)).toBe("render/spiffe://example/render/7");

    write("revoked.pem", authority.revoke(render.certificate));
    await server.reload();
    const [viaGrpc, viaWeb] = await onBoth(render);
    expect(viaGrpc).toBe("Unavailable");
    expect(viaWeb).not.toMatch(/^render/);
    expect(await onBoth(ann)).toEqual(["default/ann", "default/ann"]);
    // Connections that are open stay what they are.
    expect(await owner(before)).toBe("render/spiffe://example/render/7");

    const bea = stranger.sign("/CN=bea", "email:bea@example.org");
    write("ca.pem", stranger.certificate);
    write("revoked.pem", stranger.revoke());
    await server.reload();
    expect(await onBoth(bea)).toEqual(["default/bea", "default/bea"]);
    expect(await owner(overGrpc(ann))).toBe("Unavailable");
    expect(await owner(open)).toBe("default/ann");
  });
});
