import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { attacks } from "./hostile/attacks.ts";
import { webAttacks } from "./hostile/web-attacks.ts";
import { createServerSite, type ServerProcess, type ServerSite } from "./server-process.ts";

let site: ServerSite;
let server: ServerProcess;
let sources = 0;

beforeAll(async () => {
  site = await createServerSite({ longestWorkMs: 0 });
  server = site.launch();
  await server.ready;
});

afterAll(() => site[Symbol.asyncDispose]());

/** Odd, so that one round on a busy machine does not decide. */
const rounds = 3;
const roundMs = 1_000;

/** What a victim does, by what it is called: nothing that costs, and what it is there for, over either port. */
type Calls = Readonly<Record<string, () => Promise<unknown>>>;

function victim(over: Transport, web: Transport): Calls {
  const health = createClient(Health, over);
  const [runs, webRuns] = [createClient(WorkloadService, over), createClient(WorkloadService, web)];
  const patience = { timeoutMs: 10_000 };
  return {
    "health checks": () => health.check({}, patience),
    "workflow calls": () => runs.single({ text: "a" }, patience),
    "workflow calls over the web": () => webRuns.single({ text: "a" }, patience),
  };
}

/** How long a victim's calls take in ms, one after the other, for a while. */
async function timesOf(calls: Calls): Promise<Map<string, number[]>> {
  const taken = new Map(Object.keys(calls).map((name) => [name, [] as number[]]));
  for (const until = performance.now() + roundMs; performance.now() < until; ) {
    for (const [name, call] of Object.entries(calls)) {
      const before = performance.now();
      await call();
      taken.get(name)?.push(performance.now() - before);
    }
    await setTimeout(2);
  }
  return taken;
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}

/** In MB, as the system counts it. */
function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** Attacks from a process of its own, which gets as much of the machine as everybody else's. */
async function attacking<T>(
  { script, name, port }: { script: string; name: string; port: number },
  during: () => Promise<T>,
): Promise<{ result: T; told: string }> {
  // Each time from another address: what is held against the last one is no defence against this one.
  sources += 1;
  const path = join(import.meta.dirname, "hostile", script);
  const attacker = spawn(process.execPath, [path, name, String(port), `127.0.${sources}.1`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let told = "";
  attacker.stdout.on("data", (chunk) => {
    told += String(chunk);
  });
  try {
    await vi.waitUntil(() => told.startsWith("begun"), { timeout: 30_000 });
    await setTimeout(500);
    expect(attacker.exitCode).toBeNull();
    const result = await during();
    const closed = once(attacker, "close");
    attacker.kill("SIGTERM");
    await closed;
    expect(told).toContain("connections");
    return { result, told: told.replace("begun\n", "") };
  } finally {
    attacker.kill("SIGKILL");
  }
}

type Measured = Record<"alone" | "attacked", number[][]>;

/**
 * How many times as long calls take under attack: of each round, and the median of those. Only that of medians is held
 * against a limit: what one call in twenty takes is told by a handful of each round, and those meet whatever else happens.
 */
function ratioOf({ alone, attacked }: Measured, share: number): number {
  return quantile(
    alone.map((times, round) => quantile(attacked[round] ?? [], share) / quantile(times, share)),
    0.5,
  );
}

describe.each([
  ["the gRPC port", "attacks.ts", Object.keys(attacks), () => site.grpcPort],
  ["the web port", "web-attacks.ts", Object.keys(webAttacks), () => site.webPort],
] as const)("on %s", (_, script, names, port) => {
  test.each(names)("others hardly notice: %s", async (name) => {
    const over = createGrpcTransport({ target: `127.0.0.1:${site.grpcPort}` });
    const web = createConnectTransport({ baseUrl: `http://127.0.0.1:${site.webPort}`, httpVersion: "1.1" });
    const calls = victim(over, web);
    try {
      await timesOf(calls);
      const before = memoryOf(server.pid);
      let most = before;
      const told: string[] = [];
      const measured: Record<string, Measured> = {};
      const hardlyNotice = (): boolean => Object.values(measured).every((each) => ratioOf(each, 0.5) < 2);
      // Whatever else the machine does may disturb a few rounds: then more of them decide.
      for (let round = 0; round < rounds || (round < 3 * rounds && !hardlyNotice()); round++) {
        const alone = await timesOf(calls);
        const siege = await attacking({ script, name, port: port() }, () => timesOf(calls));
        most = Math.max(most, memoryOf(server.pid));
        told.push(siege.told);
        for (const each of Object.keys(calls)) {
          measured[each] ??= { alone: [], attacked: [] };
          measured[each].alone.push(alone.get(each) ?? []);
          measured[each].attacked.push(siege.result.get(each) ?? []);
        }
      }
      for (const [what, each] of Object.entries(measured)) {
        const { alone, attacked } = each;
        const ratioAt = (share: number): number => ratioOf(each, share);
        const at = (times: number[][], share: number): string => quantile(times.flat(), share).toFixed(1);
        console.log(
          `${name}, ${what}: median ${at(alone, 0.5)} -> ${at(attacked, 0.5)} ms, ${ratioAt(0.5).toFixed(2)} times; ` +
            `p95 ${at(alone, 0.95)} -> ${at(attacked, 0.95)} ms, ${ratioAt(0.95).toFixed(2)} times`,
        );
        expect([what, ratioAt(0.5)]).toEqual([what, expect.toSatisfy((ratio: number) => ratio < 2)]);
      }
      console.log(`${name}: ${told.join("; ")}; memory ${before.toFixed(0)} -> ${most.toFixed(0)} MB`);
      expect(most - before).toBeLessThan(300);
    } finally {
      over.close();
    }
  });
});

test("and the server is as well as before", async () => {
  const transport = createGrpcTransport({ target: `127.0.0.1:${site.grpcPort}` });
  expect((await createClient(Health, transport).check({})).status).toBe(1);
  transport.close();
  expect(await server.terminate()).toEqual({ code: 0, signal: null });
});
