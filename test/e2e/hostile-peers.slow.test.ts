import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { attacks } from "./hostile/attacks.ts";
import { createServerSite, type ServerProcess, type ServerSite } from "./server-process.ts";

let site: ServerSite;
let server: ServerProcess;
let sources = 0;

beforeAll(async () => {
  site = await createServerSite();
  server = site.launch();
  await server.ready;
});

afterAll(() => site[Symbol.asyncDispose]());

/** Odd, and enough of them that one round on a busy machine does not decide. */
const rounds = 5;
const roundMs = 2_000;

/** How long a victim's calls take in ms, one after the other, for a while: the median. */
async function medianMs(call: () => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  for (const until = performance.now() + roundMs; performance.now() < until; ) {
    const before = performance.now();
    await call();
    taken.push(performance.now() - before);
    await setTimeout(2);
  }
  return median(taken);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** In MB, as the system counts it. */
function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Attacks from a process of its own, which gets out of the way of everybody else's. */
async function attacking(name: string, during: () => Promise<number>): Promise<{ medianMs: number; told: string }> {
  // Each time from another address: what is held against the last one is no defence against this one.
  sources += 1;
  const script = join(import.meta.dirname, "hostile/attacks.ts");
  const command = [process.execPath, script, name, String(site.grpcPort), `127.0.1.${sources}`];
  const attacker = spawn("nice", ["-n", "19", ...command], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  attacker.stdout.on("data", (chunk) => {
    told += String(chunk);
  });
  try {
    await vi.waitUntil(() => told.startsWith("begun"), { timeout: 30_000 });
    await setTimeout(500);
    expect(attacker.exitCode).toBeNull();
    const medianMs = await during();
    const closed = once(attacker, "close");
    attacker.kill("SIGTERM");
    await closed;
    expect(told).toContain("connections");
    return { medianMs, told: told.replace("begun\n", "") };
  } finally {
    attacker.kill("SIGKILL");
  }
}

test.each(Object.keys(attacks))("others hardly notice: %s", async (name) => {
  const transport = createGrpcTransport({ target: `127.0.0.1:${site.grpcPort}` });
  const health = createClient(Health, transport);
  const call = () => health.check({}, { timeoutMs: 10_000 });
  try {
    await medianMs(call);
    const before = memoryOf(server.pid);
    let most = before;
    const ratios: number[] = [];
    const figures: string[] = [];
    for (let round = 0; round < rounds; round++) {
      const alone = await medianMs(call);
      const { medianMs: attacked, told } = await attacking(name, () => medianMs(call));
      most = Math.max(most, memoryOf(server.pid));
      ratios.push(attacked / alone);
      figures.push(`${alone.toFixed(2)} -> ${attacked.toFixed(2)} ms (${told})`);
    }
    console.log(
      `${name}: medians of a victim's calls ${figures.join(", ")}: ${median(ratios).toFixed(2)} times; ` +
        `memory ${before.toFixed(0)} -> ${most.toFixed(0)} MB`,
    );
    expect(median(ratios)).toBeLessThan(2);
    expect(most - before).toBeLessThan(300);
  } finally {
    transport.close();
  }
});

test("and the server is as well as before", async () => {
  const transport = createGrpcTransport({ target: `127.0.0.1:${site.grpcPort}` });
  expect((await createClient(Health, transport).check({})).status).toBe(1);
  transport.close();
  expect(await server.terminate()).toEqual({ code: 0, signal: null });
});
