import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ClientCertificate } from "../../../gen/retake/v1/config_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { createGrpcTransport } from "../../../src/transport/index.ts";
import { type Authority, createAuthority, type SignedPair } from "../../authority.ts";
import { describeWithTool } from "../../tools.ts";
import { type AccessServer, startAccessServer } from "./access-server.ts";
import type { Front } from "./callers.ts";
import { expectByLevel, expectStarts, levels, methodsOver } from "./every-method.ts";

const overTls: readonly Front[] = ["gRPC", "Connect", "gRPC-Web"];

// In a file of its own, because it takes openssl.
describeWithTool("openssl", "the levels of RPCs, with client certificates", () => {
  let directory: string;
  let authority: Authority;
  let running: AccessServer;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "retake-matrix-"));
    authority = createAuthority();
    const own = authority.sign("/CN=server", "DNS:localhost,IP:127.0.0.1");
    const write = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text, { mode: 0o600 });
      return join(directory, name);
    };
    const tls = {
      certificateFile: write("server.pem", own.certificate),
      keyFile: write("server.key", own.key),
      clientCaFile: write("ca.pem", authority.certificate),
      clientCertificate: ClientCertificate.OPTIONAL,
    };
    const identity = { level: "certificate.organizational_units[0]", groups: "certificate.organizations" };
    running = await startAccessServer({
      ...{ grpc: { port: 0, tls }, web: { port: 0, tls } },
      security: { mtls: [{ condition: "true", identity }] },
    });
  });
  afterAll(async () => {
    await running.server.close({ drainTimeoutMs: 0 });
    rmSync(directory, { recursive: true });
  });

  function transportTo(front: Front, { certificate, key }: SignedPair): Transport & { close(): void } {
    if (front === "gRPC") {
      const [ca, own, pem] = [authority.certificate, key, certificate].map((text) => Buffer.from(text));
      return createGrpcTransport({
        target: `localhost:${running.server.grpc?.port}`,
        credentials: credentials.createSsl(ca, own, pem),
      });
    }
    const options = {
      baseUrl: `https://localhost:${running.server.web?.port}`,
      httpVersion: "1.1" as const,
      // No connection is kept: one for each call at once is nearly all that one source may have.
      nodeOptions: { ca: authority.certificate, cert: certificate, key, agent: false as const },
    };
    const create = front === "Connect" ? createConnectTransport : createGrpcWebTransport;
    return { ...create(options), close: () => undefined };
  }

  it.each(levels.map((level) => [AccessLevel[level] ?? "", level] as const))(
    "let %s do and start what it may, over every front",
    async (name, level) => {
      const as = (group: string): SignedPair => authority.sign(`/CN=${name}/O=${group}/OU=${name}`, `DNS:${name}`);
      const [sound, film] = [as("sound"), as("film")];
      for (const front of overTls) {
        const methods = methodsOver(front);
        expect(methods.length).toBeGreaterThan(50);
        await expectByLevel(methods, transportTo(front, sound), name, level);
        await expectStarts(methods, transportTo(front, film), name, level);
      }
    },
  );
});
