import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { credentials } from "@grpc/grpc-js";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { ConfigError } from "../../src/config/index.ts";
import { createServer } from "../../src/server/index.ts";
import { readTls } from "../../src/server/tls.ts";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import {
  caCertificate,
  clientCertificate,
  clientKey,
  serverCertificate,
  serverKey,
} from "../transport/certificates.ts";
import { handlers } from "./handlers.ts";
import { rejection } from "./harness.ts";
import { startListening } from "./listening-server.ts";

const directory = mkdtempSync(join(tmpdir(), "retake-tls-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const certificateFile = file("server.pem", serverCertificate);
const keyFile = file("server.key", serverKey);
const caFile = file("ca.pem", caCertificate);

/** The address of a caller over HTTPS and what it is answered; the error's code when there is no answer. */
async function getHealth(port: number, client: { key?: string; cert?: string } = {}): Promise<number | string> {
  const sent = request({ host: "127.0.0.1", port, path: "/healthz", ca: caCertificate, agent: false, ...client });
  sent.end();
  try {
    const [response] = await once(sent, "response");
    response.resume();
    return response.statusCode;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

async function callGrpc(port: number, client?: { key: string; cert: string }): Promise<string> {
  const transport = createGrpcTransport({
    target: `localhost:${port}`,
    credentials: credentials.createSsl(
      Buffer.from(caCertificate),
      client ? Buffer.from(client.key) : null,
      client ? Buffer.from(client.cert) : null,
    ),
  });
  onTestFinished(() => transport.close());
  return (await createClient(WorkflowsService, transport).plain({ text: "safe" })).text;
}

describe("TLS", () => {
  it("secures both ports, each with its files", async () => {
    const tls = { certificateFile, keyFile };
    const { grpcPort, webPort, workflows } = await startListening({}, { config: { grpc: { tls }, web: { tls } } });
    expect(await callGrpc(grpcPort)).toBe("safe");
    expect(await getHealth(webPort)).toBe(200);
    await rejection(workflows.plain({}), Code.Unavailable);
  });

  it("lets in only clients with a certificate of the authority, where one is named", async () => {
    const tls = { certificateFile, keyFile, clientCaFile: caFile };
    const { grpcPort, webPort, log } = await startListening({}, { config: { grpc: { tls }, web: { tls } } });
    const known = { key: clientKey, cert: clientCertificate };
    expect(await callGrpc(grpcPort, known)).toBe("safe");
    expect(await getHealth(webPort, known)).toBe(200);
    await rejection(callGrpc(grpcPort), Code.Unavailable);
    expect(await getHealth(webPort)).not.toBe(200);
    for (const field of ["grpc.tls", "web.tls"]) {
      const told = {
        level: "debug",
        message: "a handshake of TLS has failed",
        fields: expect.objectContaining({ field }),
      };
      expect(log).toContainEqual(told);
    }
  });
});

describe("the files of TLS", () => {
  const problemsOf = (tls: { certificateFile: string; keyFile: string; clientCaFile?: string }): string[] => {
    try {
      readTls({ grpc: { tls } } as Parameters<typeof readTls>[0]);
      return [];
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      return (error as ConfigError).problems.map(({ field, message }) => `${field}: ${message}`);
    }
  };
  const missing = join(directory, "missing.pem");
  const garbage = file("garbage.pem", "this is no PEM");
  const damaged = file("damaged.pem", serverCertificate.replace("MIIB", "AAAA"));
  const encrypted = file(
    "encrypted.key",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
  );
  const otherKey = file("other.key", clientKey);
  const wrongOrder = file("wrong-order.pem", caCertificate + serverCertificate);
  const aDirectory = join(directory, "directory");
  mkdirSync(aDirectory);

  it("that belong together are taken, with or without a chain", () => {
    expect(problemsOf({ certificateFile, keyFile, clientCaFile: caFile })).toEqual([]);
    const chain = file("chain.pem", serverCertificate + caCertificate);
    expect(problemsOf({ certificateFile: chain, keyFile })).toEqual([]);
  });

  it.each([
    [
      "missing",
      { certificateFile: missing, keyFile },
      [`grpc.tls.certificate_file: ${missing} cannot be read: there is no such file`],
    ],
    [
      "a directory",
      { certificateFile, keyFile: aDirectory },
      [`grpc.tls.key_file: ${aDirectory} cannot be read: it is a directory`],
    ],
    [
      "no certificate",
      { certificateFile: garbage, keyFile },
      [`grpc.tls.certificate_file: ${garbage} holds no certificate in PEM format`],
    ],
    [
      "a damaged certificate",
      { certificateFile: damaged, keyFile },
      [expect.stringContaining(`grpc.tls.certificate_file: certificate 1 in ${damaged} cannot be read`)],
    ],
    [
      "no key",
      { certificateFile, keyFile: garbage },
      [`grpc.tls.key_file: ${garbage} holds no private key in PEM format`],
    ],
    [
      "an encrypted key",
      { certificateFile, keyFile: encrypted },
      [expect.stringContaining("is encrypted: store it decrypted")],
    ],
    [
      "no authority",
      { certificateFile, keyFile, clientCaFile: garbage },
      [expect.stringContaining("grpc.tls.client_ca_file: ")],
    ],
    [
      "a key that does not fit",
      { certificateFile, keyFile: otherKey },
      [
        expect.stringMatching(
          /^grpc\.tls\.key_file: the key in .*other\.key is not that of .*server\.pem: name the files of one pair$/,
        ),
      ],
    ],
    [
      "a chain in the wrong order",
      { certificateFile: wrongOrder, keyFile },
      [expect.stringContaining("put the server's own certificate first")],
    ],
    [
      "wrong in several ways",
      { certificateFile: missing, keyFile: garbage, clientCaFile: missing },
      [
        expect.stringContaining("certificate_file"),
        expect.stringContaining("key_file"),
        expect.stringContaining("client_ca_file"),
      ],
    ],
  ])("are refused when one is %s, by field and file", (_, tls, problems) => {
    expect(problemsOf(tls)).toEqual(problems);
  });

  it("stop the start of the server before it opens anything", async () => {
    const opened: unknown[] = [];
    const server = createServer(
      { grpc: { port: 0 }, web: { port: 0, tls: { certificateFile: missing, keyFile } } },
      {
        openStorage: (config) => {
          opened.push(config);
          throw new Error("not to be opened");
        },
      },
    ).implement(WorkflowsService, handlers());
    await expect(server.listen()).rejects.toThrow(`configuration: web.tls.certificate_file: ${missing} cannot be read`);
    expect(opened).toEqual([]);
    expect(server.grpc).toBeUndefined();
  });
});
