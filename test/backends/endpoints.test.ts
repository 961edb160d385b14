import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { connectEndpoint, Endpoints, type ServiceBackend } from "../../src/backends/index.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import type { StreamingResponse } from "../gen/retake/test/v1/workflows_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { rejection } from "../server/harness.ts";
import {
  caCertificate,
  clientCertificate,
  clientKey,
  serverCertificate,
  serverKey,
} from "../transport/certificates.ts";
import { ServingStatus, startBackend, startGateway } from "./gateway.ts";

type Gateway = Awaited<ReturnType<typeof startGateway>>;

const flaky = `${WorkflowsService.typeName}/Flaky`;

/** What a run waits for, once it waits. */
async function waitOf({ runs }: Gateway, runId: string): Promise<string> {
  let reason = "";
  await expect
    .poll(async () => {
      reason = (await runs.getRun({ runId })).run?.wait?.reason ?? "";
      return reason;
    })
    .not.toBe("");
  return reason;
}

async function attemptsOf({ runs }: Gateway, runId: string): Promise<number> {
  let attempts = 0;
  for await (const { update } of runs.watchRun({ runId })) {
    if (update.case === "event" && update.value.event.case === "attemptStarted") attempts += 1;
  }
  return attempts;
}

describe("a channel to an endpoint", () => {
  it("is down from the first call that finds no server on, until there is one", async () => {
    const port = await freePort();
    const channel = connectEndpoint({
      target: `dns:///127.0.0.1:${port}`,
      keepaliveTimeMs: 20_000,
      keepaliveTimeoutMs: 10_000,
    });
    onTestFinished(() => channel.close());
    expect(channel.isDown()).toBe(false);
    await rejection(createClient(Health, channel.transport).check({}), Code.Unavailable);
    expect(channel.isDown()).toBe(true);
    await startBackend({}, { port });
    await channel.waitUntilReady(10_000);
    expect(channel.isDown()).toBe(false);
  });
});

describe("an endpoint that cannot be reached", () => {
  it("gets no attempts until it is there, and then those that waited for it", async () => {
    const port = await freePort();
    const gateway = await startGateway([{ port }]);
    const started = await gateway.runs.startRun({ workflow: flaky });
    const runId = started.run?.runId ?? "";
    expect(await waitOf(gateway, runId)).toBe(
      "its endpoint is not healthy, and gets no attempts before it is back: it is next",
    );
    await expect
      .poll(() => gateway.log.find(({ message }) => /no attempts/.test(message))?.fields)
      .toEqual({ endpoint: `dns:///127.0.0.1:${port}`, why: `connect ECONNREFUSED 127.0.0.1:${port}` });
    await startBackend({ flaky: () => ({ attempts: 1 }) }, { port });
    expect(await attemptsOf(gateway, runId)).toBe(1);
    expect((await gateway.runs.getRun({ runId })).run?.state).toBe(RunState.SUCCEEDED);
    expect(gateway.log.at(-1)?.message).toBe("an endpoint is healthy again");
  });

  it("costs a run that works there one attempt, however long it is away", async () => {
    const called = Promise.withResolvers<void>();
    const first = await startBackend({
      flaky: () => {
        called.resolve();
        return new Promise<never>(() => undefined);
      },
    });
    // The probe that the failure sets off has its answer by then.
    const gateway = await startGateway([{ port: first.port }], {
      flaky: { retry: { initialBackoff: { nanos: 500_000_000 } } },
    });
    const started = await gateway.runs.startRun({ workflow: flaky });
    const runId = started.run?.runId ?? "";
    await called.promise;
    await first.stop();
    await waitOf(gateway, runId);
    await expect.poll(() => waitOf(gateway, runId)).toMatch(/not healthy/);
    await startBackend({ flaky: () => ({ attempts: 2 }) }, { port: first.port });
    expect(await attemptsOf(gateway, runId)).toBe(2);
  });

  it("is one that a streaming workflow comes back to, and its caller sees progress and one result", async () => {
    const first = await startBackend({
      async *streaming() {
        yield { update: { case: "progress", value: { fraction: 0.1 } } };
        await new Promise<never>(() => undefined);
      },
    });
    const { workflows } = await startGateway([{ port: first.port }]);
    const seen: StreamingResponse["update"][] = [];
    const reading = (async () => {
      for await (const { update } of workflows.streaming({})) seen.push(update);
    })();
    await expect.poll(() => seen.map(({ case: name }) => name)).toContain("progress");
    await first.stop();
    await startBackend(
      {
        async *streaming() {
          yield { update: { case: "progress", value: { fraction: 0.9 } } };
          yield { update: { case: "result", value: "film" } };
        },
      },
      { port: first.port },
    );
    await reading;
    expect(seen.at(-1)).toEqual({ case: "result", value: "film" });
    expect(new Set(seen.slice(0, -1).map(({ case: name }) => name))).toEqual(new Set(["progress"]));
  });
});

describe("an endpoint that says it is NOT_SERVING", () => {
  it("gets nothing while another one is there, and its share again when it is back", async () => {
    let status: ServingStatus = ServingStatus.NOT_SERVING;
    const calls = { sick: 0, well: 0 };
    const sick = await startBackend({ plain: () => ({ text: `${++calls.sick}` }) }, { health: () => status });
    const well = await startBackend({ plain: () => ({ text: `${++calls.well}` }) });
    const gateway = await startGateway([
      { port: sick.port, slots: 1 },
      { port: well.port, slots: 1 },
    ]);
    for (let i = 0; i < 5; i++) await gateway.workflows.plain({});
    expect(calls).toEqual({ sick: 0, well: 5 });
    status = ServingStatus.SERVING;
    await expect.poll(() => gateway.log.at(-1)?.message).toBe("an endpoint is healthy again");
    for (let i = 0; i < 5; i++) await gateway.workflows.plain({});
    expect(calls.sick).toBeGreaterThan(0);
  });
});

describe("an endpoint that a run avoids", () => {
  it("is left out while another one takes attempts", async () => {
    const endpoints = new Endpoints({
      inProcess: { call: () => Promise.resolve() },
      clock: createVirtualClock(),
      log: silentLogger,
      onSlots: () => undefined,
    });
    onTestFinished(() => endpoints.close());
    const endpoint = (target: string) => ({ target, slots: 1, keepaliveTimeMs: 60_000, keepaliveTimeoutMs: 20_000 });
    const healthCheck = { service: "", intervalMs: 5_000, timeoutMs: 3_000 };
    // What is probed takes none before it has answered.
    const probed = { ...endpoint("ipv4:127.0.0.1:1"), healthCheck };
    endpoints.configure(
      new Map<string, ServiceBackend>([
        ["a.One", { endpoints: [endpoint("ipv4:127.0.0.1:2")] }],
        ["a.Two", { endpoints: [endpoint("ipv4:127.0.0.1:2"), endpoint("ipv4:127.0.0.1:3")] }],
        ["a.Sick", { endpoints: [endpoint("ipv4:127.0.0.1:2"), probed] }],
        ["a.Own", { endpoints: [endpoint("ipv4:127.0.0.1:2"), endpoint("in-process")] }],
      ]),
    );
    const left = (service: string) => endpoints.butFor(service, "ipv4:127.0.0.1:2").map(({ endpoint: of }) => of);
    expect(left("a.One")).toEqual(["ipv4:127.0.0.1:2"]);
    expect(left("a.Two")).toEqual(["ipv4:127.0.0.1:3"]);
    expect(left("a.Sick")).toEqual(["ipv4:127.0.0.1:2", "ipv4:127.0.0.1:1"]);
    expect(left("a.Own")).toEqual(["in-process"]);
    expect(await endpoints.switchFrom("a.One", "ipv4:127.0.0.1:2")).toBe(false);
    expect(await endpoints.switchFrom("a.Own", "ipv4:127.0.0.1:2")).toBe(true);
  });
});

describe("several endpoints", () => {
  it("share the work by their slots", async () => {
    const working = new Map<number, number>();
    const most = new Map<number, number>();
    const backend = (name: number) =>
      startBackend({
        plain: async () => {
          working.set(name, (working.get(name) ?? 0) + 1);
          most.set(name, Math.max(most.get(name) ?? 0, working.get(name) ?? 0));
          await new Promise((resolve) => setTimeout(resolve, 20));
          working.set(name, (working.get(name) ?? 0) - 1);
          return {};
        },
      });
    const [small, large] = [await backend(1), await backend(3)];
    const { workflows } = await startGateway([
      { port: small.port, slots: 1 },
      { port: large.port, slots: 3 },
    ]);
    await Promise.all(Array.from({ length: 20 }, () => workflows.plain({})));
    expect(Object.fromEntries(most)).toEqual({ 1: 1, 3: 3 });
  });
});

describe("an endpoint with several addresses", () => {
  it("gives them calls in turn, and does without those that cannot be reached", async () => {
    const calls = new Map<string, number>();
    const backend = (name: string) =>
      startBackend({
        plain: () => {
          calls.set(name, (calls.get(name) ?? 0) + 1);
          return {};
        },
      });
    const [a, b] = [await backend("a"), await backend("b")];
    const addresses = [a.port, b.port, await freePort()].map((port) => `127.0.0.1:${port}`);
    const { workflows } = await startGateway([{ port: 0, target: `ipv4:${addresses.join(",")}` }]);
    await workflows.plain({});
    // By then there is a connection to each of them.
    await expect
      .poll(async () => {
        await workflows.plain({});
        return calls.size;
      })
      .toBe(2);
    calls.clear();
    for (let i = 0; i < 20; i++) await workflows.plain({});
    expect(calls.get("a")).toBeGreaterThan(5);
    expect(calls.get("b")).toBeGreaterThan(5);
  });
});

describe("an endpoint over TLS", () => {
  let directory = "";
  const file = (name: string): string => join(directory, name);

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "retake-backend-tls-"));
    const files = { caCertificate, clientCertificate, clientKey, serverKey };
    for (const [name, pem] of Object.entries(files)) writeFileSync(file(name), pem);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Only clients with a certificate of our authority may call. */
  const mutual = () => ({
    certificate: Buffer.from(serverCertificate),
    key: Buffer.from(serverKey),
    clientCa: Buffer.from(caCertificate),
  });

  it("is called, by its address, with the server's own certificate", async () => {
    const backend = await startBackend({ plain: () => ({ text: "encrypted" }) }, { tls: mutual() });
    const { workflows } = await startGateway([
      {
        port: backend.port,
        tls: {
          caFile: file("caCertificate"),
          certificateFile: file("clientCertificate"),
          keyFile: file("clientKey"),
        },
      },
    ]);
    expect((await workflows.plain({})).text).toBe("encrypted");
  });

  it.each([
    ["does not show the certificate that it asks for", { caFile: "caCertificate" }],
    ["does not trust its authority", { certificateFile: "clientCertificate", keyFile: "clientKey" }],
    ["expects another name", { caFile: "caCertificate", serverName: "gpu.example", ...keyPair() }],
  ])("is not healthy for a server that %s", async (_, tls) => {
    const backend = await startBackend({ plain: () => ({}) }, { tls: mutual() });
    const paths = Object.fromEntries(
      Object.entries(tls).map(([key, value]) => [key, key === "serverName" ? value : file(value)]),
    );
    const gateway = await startGateway([{ port: backend.port, tls: paths }]);
    await expect
      .poll(() => gateway.log.map(({ message }) => message))
      .toContainEqual(expect.stringMatching(/not healthy/));
    await rejection(gateway.workflows.plain({}, { timeoutMs: 100 }), Code.DeadlineExceeded);
  });

  it("is refused at the start where its files do not fit, with the field and the file", async () => {
    await expect(
      startGateway([{ port: 1, tls: { certificateFile: file("clientCertificate"), keyFile: file("serverKey") } }]),
    ).rejects.toThrow(
      /backends\[0\]\.endpoints\[0\]\.tls\.key_file: the key in .*serverKey is not that of the first certificate/,
    );
  });
});

function keyPair() {
  return { certificateFile: "clientCertificate", keyFile: "clientKey" };
}

/** A port where nobody listens. */
async function freePort(): Promise<number> {
  const { port, stop } = await startBackend({});
  await stop();
  return port;
}
