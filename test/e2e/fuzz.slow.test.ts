import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createGrpcTransport, tlsChannel } from "../../src/transport/index.ts";
import { createCredentials, OddIssuer } from "../fuzz/credentials.ts";
import { fuzz } from "../fuzz/fuzz.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import {
  caCertificate,
  clientCertificate,
  clientKey,
  serverCertificate,
  serverKey,
} from "../transport/certificates.ts";
import { createServerSite, type ServerProcess } from "./server-process.ts";

/** Another one each day tries other requests: RETAKE_FUZZ_SEED. */
const seed = Number(process.env["RETAKE_FUZZ_SEED"] ?? 1);
const requestsARound = 10_000;
const rounds = Number(process.env["RETAKE_FUZZ_REQUESTS"] ?? 100_000) / requestsARound;

/** What is not the caller's mistake: failures made on purpose, and workflows that then wait for ever. */
const admin = {
  ...AdminService,
  methods: AdminService.methods.filter(({ name }) => !/^(InjectFault|SetPolicyOverride)$/.test(name)),
};

const root = await mkdtemp(join(tmpdir(), "retake-fuzz-"));
afterAll(() => rm(root, { recursive: true, force: true }));
const issuer = new OddIssuer();
const file = (name: string): string => join(root, name);

beforeAll(async () => {
  for (const [name, text] of [
    ["server.pem", serverCertificate],
    ["server.key", serverKey],
    ["clients.pem", caCertificate],
    ["jwks.json", JSON.stringify(issuer.jwks)],
  ] as const) {
    await writeFile(file(name), text, { mode: 0o600 });
  }
});

const tls = {
  certificateFile: file("server.pem"),
  keyFile: file("server.key"),
  clientCaFile: file("clients.pem"),
  clientCertificate: "CLIENT_CERTIFICATE_OPTIONAL",
};

const workload = (method: string): string => `${WorkloadService.typeName}/${method}`;

/** As servers are set up that others than their owners reach. */
const config = {
  log: { level: "error" },
  grpc: { tls },
  web: { tls },
  workflows: {
    [workload("Single")]: { access: { min: "ACCESS_LEVEL_PUBLIC" } },
    [workload("Steps")]: { access: { min: "ACCESS_LEVEL_AUTHENTICATED" } },
    [workload("Stream")]: { access: { min: "ACCESS_LEVEL_PRIVILEGED" } },
    [workload("Flaky")]: { access: { min: "ACCESS_LEVEL_AUTHENTICATED", groups: ["crew"] } },
    [workload("Family")]: {
      access: {
        min: "ACCESS_LEVEL_AUTHENTICATED",
        condition: "request.text.size() < 50 || principal.tenant == 'other'",
      },
    },
  },
  security: {
    jwt: [
      {
        issuer: issuer.issuer,
        audiences: [issuer.audience],
        algorithms: ["ES256"],
        jwksFile: file("jwks.json"),
        identity: {
          level: "has(claims.level) ? claims.level : 'AUTHENTICATED'",
          tenant: "has(claims.tenant) ? claims.tenant : 'default'",
          groups: "has(claims.groups) ? claims.groups : []",
        },
      },
    ],
    mtls: [{ condition: "certificate.common_name != ''", identity: { level: "'PRIVILEGED'" } }],
    rateLimits: [
      // Not so low that most calls come to nothing but this.
      { scope: ["RATE_LIMIT_SCOPE_SOURCE"], limit: 60, burst: 100 },
      { scope: ["RATE_LIMIT_SCOPE_PRINCIPAL", "RATE_LIMIT_SCOPE_WORKFLOW"], limit: 10, burst: 20 },
    ],
    // Short, so that sources are let go and locked out again all the time.
    lockout: { threshold: 20, initialDelay: "0.001s", window: "1s", maxLockout: "1s" },
    access: { rules: { graces: { tenant: "other", subjects: ["grace"], methods: [workload("Stream")] } } },
    audit: { reads: true, file: file("audit-copy.jsonl") },
  },
};

/** So that what is held against one of them does not stand for all. Some show a certificate. */
const places = Array.from({ length: 32 }, (_, index) => ({
  source: `127.0.2.${index + 1}`,
  ...(index % 4 === 0 && { certificate: { cert: clientCertificate, key: clientKey } }),
}));

function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Of V8's heap in MB, what is left when all garbage is collected. */
async function collectedHeap(server: ServerProcess): Promise<number> {
  const told = (): string[] => server.lines.filter((line) => line.startsWith('{"heapUsed":'));
  const before = told().length;
  server.signal("SIGUSR2");
  await vi.waitFor(() => expect(told().length).toBeGreaterThan(before), { timeout: 60_000 });
  return JSON.parse(told().at(-1) ?? "").heapUsed / 2 ** 20;
}

/** Keys of every level, one that is limited to workflows, and those that are taken no more. */
async function createKeys(client: Client<typeof AdminService>, headers: Record<string, string>) {
  const { AUTHENTICATED, PRIVILEGED, ADMIN } = AccessLevel;
  const limited = { workflows: [workload("Single"), workload("Stream")] };
  const wanted = [
    { subject: "ann", level: AUTHENTICATED, groups: ["crew"] },
    { subject: "bob", level: AUTHENTICATED, tenant: "other" },
    { subject: "cleo", level: PRIVILEGED },
    { subject: "dan", level: ADMIN },
    { subject: "eve", level: ADMIN, ...limited },
    { subject: "fay", level: PRIVILEGED, ...limited },
  ];
  const keys: string[] = [];
  for (const each of wanted) keys.push((await client.createApiKey(each, { headers })).key);
  const gone = await client.createApiKey({ subject: "gus", level: ADMIN }, { headers });
  await client.revokeApiKey({ keyId: gone.apiKey?.keyId ?? "" }, { headers });
  const old = await client.createApiKey({ subject: "hal", level: ADMIN }, { headers });
  await client.rotateApiKey({ keyId: old.apiKey?.keyId ?? "", overlap: {} }, { headers });
  return { keys, ended: [gone.key, old.key] };
}

test("100,000 requests that no client would send do not crash the server, nor let in who may not, nor make it give itself away", async () => {
  const env = { NODE_OPTIONS: `--import=${join(import.meta.dirname, "fixtures/collected-heap.ts")}` };
  await using site = await createServerSite({ longestWorkMs: 0, config, env });
  const server = site.launch();
  await server.ready;
  const { grpcPort, webPort } = site;
  const target = `localhost:${grpcPort}`;
  const adminKey = readFileSync(join(site.dataDirectory, "admin.key"), "utf8").trim();
  const transport = createGrpcTransport({ target, ...tlsChannel({ ca: caCertificate }, target) });
  const headers = { authorization: `Bearer ${adminKey}` };
  const made = await createKeys(createClient(AdminService, transport), headers);
  const credentials = createCredentials({ issuer, ...made });
  const services = [RunService, ArtifactService, admin, MonitoringService, WorkloadService, Health, ServerReflection];
  const memory: number[] = [];
  const heap: number[] = [];
  const all = new Map<string, number>();
  const started = performance.now();
  for (let round = 0; round < rounds; round++) {
    const { failures, statuses } = await fuzz({
      ...{ grpcPort, webPort, tls: true, places, services, credentials, timeoutMs: 20, concurrency: 32 },
      ...{ seed: seed + round, count: requestsARound },
    });
    expect(failures).toEqual([]);
    for (const [status, count] of statuses) all.set(status, (all.get(status) ?? 0) + count);
    // Garbage is no leak: V8 leaves 200 MB of it lying about where there is room, and libc keeps the room that it took.
    heap.push(Math.round(await collectedHeap(server)));
    memory.push(Math.round(memoryOf(server.pid)));
    console.log(
      `${(round + 1) * requestsARound} requests after ${((performance.now() - started) / 1000).toFixed(0)} s`,
    );
  }
  console.log(
    `seeds ${seed} to ${seed + rounds - 1}: ${rounds * requestsARound} requests in ${((performance.now() - started) / 1000).toFixed(0)} s; ` +
      `memory after each round: ${memory.join(", ")} MB, of it in V8's heap: ${heap.join(", ")} MB; answers: ${[...all].map(([status, count]) => `${status}: ${count}`).join(", ")}`,
  );
  const settled = (sizes: readonly number[]): number => Math.max(...sizes.slice(2, 5));
  // Up to 10,000 verified tokens are remembered, some 2 KB each, and each round brings hundreds of new ones.
  expect(Math.max(...heap.slice(-2))).toBeLessThan(settled(heap) * 1.25);
  expect(Math.max(...memory.slice(-2))).toBeLessThan(settled(memory) * 1.5);
  // Both sides of every gate have been reached: let in, told that it is wrong, that it may not, that it is too often.
  for (const status of ["0", "3", "5", "7", "8", "16", "HTTP 200", "HTTP 400", "HTTP 401", "HTTP 403", "HTTP 429"]) {
    expect([status, all.get(status) ?? 0]).toEqual([status, expect.toSatisfy((count: number) => count > 50)]);
  }
  // Pino's numbers: 50 is an error, 60 is fatal. What is no JSON comes from nobody who was asked.
  expect(server.lines.filter((line) => !line.startsWith("{") || /"level":[56]0\b/.test(line))).toEqual([]);
  expect(
    (await createClient(RunService, transport).listWorkflows({}, { headers, timeoutMs: 30_000 })).workflows.length,
  ).toBeGreaterThan(0);
  transport.close();
  expect(await server.terminate()).toEqual({ code: 0, signal: null });
}, 900_000);
