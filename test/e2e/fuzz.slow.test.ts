import { readFileSync } from "node:fs";
import { createClient } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { fuzz } from "../fuzz/fuzz.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { createServerSite } from "./server-process.ts";

/** Another one each day tries other requests: RETAKE_FUZZ_SEED. */
const seed = Number(process.env["RETAKE_FUZZ_SEED"] ?? 1);
const requestsARound = 10_000;
const rounds = Number(process.env["RETAKE_FUZZ_REQUESTS"] ?? 100_000) / requestsARound;

/** What is not the caller's mistake: failures made on purpose, and workflows that then wait for ever. */
const admin = {
  ...AdminService,
  methods: AdminService.methods.filter(({ name }) => !/^(InjectFault|SetPolicyOverride)$/.test(name)),
};

function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

test("100,000 requests that no client would send do not crash the server, nor make it give itself away", async () => {
  await using site = await createServerSite({
    longestWorkMs: 0,
    config: { log: { level: "fatal" } },
  });
  const server = site.launch();
  await server.ready;
  const { grpcPort, webPort } = site;
  const services = [RunService, ArtifactService, admin, MonitoringService, WorkloadService, Health, ServerReflection];
  const memory: number[] = [];
  const all = new Map<string, number>();
  const started = performance.now();
  for (let round = 0; round < rounds; round++) {
    const { failures, statuses } = await fuzz({
      ...{ grpcPort, webPort, services, timeoutMs: 20, concurrency: 32 },
      ...{ seed: seed + round, count: requestsARound },
    });
    expect(failures).toEqual([]);
    for (const [status, count] of statuses) all.set(status, (all.get(status) ?? 0) + count);
    memory.push(Math.round(memoryOf(server.pid)));
    console.log(
      `${(round + 1) * requestsARound} requests after ${((performance.now() - started) / 1000).toFixed(0)} s`,
    );
  }
  console.log(
    `seeds ${seed} to ${seed + rounds - 1}: ${rounds * requestsARound} requests in ${((performance.now() - started) / 1000).toFixed(0)} s; ` +
      `memory after each round: ${memory.join(", ")} MB; answers: ${[...all].map(([status, count]) => `${status}: ${count}`).join(", ")}`,
  );
  const settled = Math.max(...memory.slice(2, 5));
  expect(Math.max(...memory.slice(-2))).toBeLessThan(settled * 1.5);
  const transport = createGrpcTransport({ target: `127.0.0.1:${grpcPort}` });
  expect((await createClient(RunService, transport).listWorkflows({})).workflows.length).toBeGreaterThan(0);
  transport.close();
  expect(await server.terminate()).toEqual({ code: 0, signal: null });
}, 900_000);
