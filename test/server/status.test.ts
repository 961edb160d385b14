import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { metrics } from "@opentelemetry/api";
import { describe, expect, it, onTestFinished } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { BreakerMode, BreakerState } from "../../gen/retake/v1/breaker_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { HealthComponent, HealthLevel, type Status } from "../../gen/retake/v1/status_pb.js";
import { ServingStatus } from "../../src/server/health.ts";
import { name, plain, start as startStudio } from "./breaker-studio.ts";
import { stopServer } from "./harness.ts";
import { startWatched } from "./watched-server.ts";

const mib = 2 ** 20;

async function start(options: Parameters<typeof startWatched>[0] = {}) {
  const watched = await startWatched(options);
  const { client } = watched;
  const status = async (request: object = {}): Promise<Status> => {
    const { status: found } = await client.getStatus(request);
    if (found === undefined) throw new Error("there is no status");
    return found;
  };
  return { ...watched, status };
}

function component({ health }: Status, wanted: HealthComponent) {
  return health?.components.find((one) => one.component === wanted);
}

/** Collects what a watcher sees until it leaves. */
function watch(client: Client<typeof MonitoringService>) {
  const seen: Status[] = [];
  const leave = new AbortController();
  const ended = (async () => {
    for await (const { status } of client.watchStatus({}, { signal: leave.signal })) if (status) seen.push(status);
  })().catch((error: unknown) => ConnectError.from(error));
  return { seen, ended, leave };
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

describe("GetStatus", () => {
  it("tells runs, their rates and how long they took, of all and by workflow, the busiest first", async () => {
    const { client, sample, status, workflows, runs, backend, clock } = await start();
    const end = async (text: string): Promise<void> => {
      const call = workflows.plain({ text }).catch(() => undefined);
      await clock.advance(0);
      await call;
    };
    await end("first");
    await sample();
    for (let i = 0; i < 6; i++) await end(i < 3 ? "wrong" : "right");
    backend.hold = Promise.withResolvers();
    await runs.startRun({ workflow: plain, input: { case: "json", value: "{}" } });
    await sample(2);
    const told = await status({ maxWorkflows: 2 });
    expect(told).toMatchObject({ serving: true, notServingReason: "", version: expect.stringMatching(/^\d+\.\d+\./) });
    expect(told.workflows).toHaveLength(2);
    expect(told.workflowCount).toBeGreaterThan(2);
    const [busiest] = told.workflows;
    expect(busiest).toMatchObject({
      workflow: plain,
      breaker: BreakerState.CLOSED,
      quality: Quality.FULL,
      paused: false,
    });
    for (const totals of [told.runs, busiest?.runs]) {
      expect(totals?.open).toMatchObject([{ state: RunState.RUNNING, count: 1n }]);
      expect(totals?.failedShare).toBeCloseTo(3 / 7);
      expect(totals?.endRate).toBeCloseTo(7 / 300);
      expect(totals?.startRate).toBeCloseTo(8 / 300);
      expect(Number(totals?.p95Duration?.nanos)).toBeGreaterThan(0);
    }
    expect(told.process?.memoryBytes).toBeGreaterThan(mib);
    expect(told.journal).toMatchObject({ available: true, error: "" });
    expect(component(told, HealthComponent.FAILURES)).toMatchObject({
      score: expect.any(Number),
      deduction: expect.any(Number),
    });
    const deducted = told.health?.components.reduce((sum, { deduction }) => sum + deduction, 0) ?? 0;
    expect(told.health?.score).toBe(100 - deducted);
    await sample();
    const { series } = await client.querySeries({ metric: "retake_health_score" });
    expect(series[0]?.summary?.latest).toBe(told.health?.score);
    backend.hold.resolve();
  });

  it("tells what there is before the first sample, and where nothing is watched over", async () => {
    const studio = await startStudio();
    const { status } = await createClient(MonitoringService, studio.server.transport).getStatus({});
    expect(status).toMatchObject({ serving: true, alertCounts: { watched: false }, journal: { available: true } });
    expect(status?.sampleTime).toBeUndefined();
    expect(status?.health).toMatchObject({ level: HealthLevel.UNKNOWN });
    expect(status?.health?.score).toBeUndefined();
  });

  it("tells alerts that fire, and takes their points, but not those of the dead-man alert", async () => {
    const rule = { name: "Deep", queries: { depth: { metric: "studio_depth" } }, critical: { at: 10 } };
    const { sample, status } = await start({ config: { monitoring: { rules: [rule] } } });
    await sample();
    expect((await status()).alertCounts).toMatchObject({ watched: true, critical: 0, warning: 0 });
    metrics.getMeter("studio").createGauge("studio.depth").record(11);
    await sample();
    const told = await status({ maxAlerts: 1 });
    expect(told.alerts.map(({ rule: by }) => by)).toEqual(["Deep"]);
    expect(told.alertCounts).toMatchObject({ critical: 1, warning: 0 });
    expect(component(told, HealthComponent.ALERTS)).toMatchObject({ score: 70, deduction: 2 });
  });
});

describe("WatchStatus", () => {
  it("tells the status at first, with each sample, and at once when a breaker opens", async () => {
    const { client, sample, backend, workflows, admin } = await start();
    const { seen, leave, ended } = watch(client);
    await expect.poll(() => seen.length).toBe(1);
    await sample(2);
    const sampled = seen.map(({ sampleTime }) => Number(sampleTime?.seconds ?? 0));
    expect(new Set(sampled).size).toBe(3);
    const before = seen.length;
    backend.down = true;
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN, reason: "the cards are being changed" });
    await settled();
    expect(seen.length).toBeGreaterThan(before);
    const newest = seen.at(-1);
    expect(newest?.breakers).toMatchObject([
      { workflow: plain, state: BreakerState.OPEN, mode: BreakerMode.FORCED_OPEN },
    ]);
    expect(newest && component(newest, HealthComponent.BACKENDS)).toMatchObject({ score: 0, limit: 40 });
    leave.abort();
    expect((await ended)?.code).toBe(Code.Canceled);
    await workflows.plain({ text: "x" }).catch(() => undefined);
  });

  it("ends when the server closes, after it has said that it is about to", async () => {
    const studio = await start();
    const { seen, ended } = watch(studio.client);
    await expect.poll(() => seen.length).toBe(1);
    await stopServer(studio);
    expect((await ended)?.code).toBe(Code.Unavailable);
    expect(seen.at(-1)).toMatchObject({ serving: false, notServingReason: "the server is about to stop" });
  });
});

describe("readiness", () => {
  it("ends when the disk stays full and comes back when it has room, also by grpc.health.v1", async () => {
    const { sample, server, status } = await start();
    const health = createClient(Health, server.transport);
    const gauge = (kind: string) => metrics.getMeter("studio").createGauge(`retake.disk.${kind}`, { unit: "By" });
    const [free, size] = [gauge("free"), gauge("size")];
    size.record(100_000 * mib);
    const statuses: ServingStatus[] = [];
    const left = new AbortController();
    onTestFinished(() => left.abort());
    void (async () => {
      for await (const { status: one } of health.watch({}, { signal: left.signal })) statuses.push(one);
    })().catch(() => undefined);
    free.record(10 * mib);
    await sample();
    expect((await health.check({})).status).toBe(ServingStatus.SERVING);
    await sample();
    expect((await health.check({})).status).toBe(ServingStatus.NOT_SERVING);
    expect((await health.check({ service: name("Plain").split("/")[0] ?? "" })).status).toBe(ServingStatus.NOT_SERVING);
    expect(await status()).toMatchObject({
      serving: false,
      notServingReason: "the disk of the data directory has 10 MiB left",
    });
    free.record(80_000 * mib);
    await sample(2);
    expect((await health.check({})).status).toBe(ServingStatus.SERVING);
    await settled();
    expect(statuses).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING, ServingStatus.SERVING]);
  });

  it("does not end because runs fail", async () => {
    const { sample, server, status, workflows, clock, backend } = await start();
    await sample();
    for (let i = 0; i < 20; i++) {
      const call = workflows.plain({ text: "wrong" }).catch(() => undefined);
      await clock.advance(0);
      await call;
    }
    await sample(4);
    expect(backend.calls.length).toBe(20);
    const told = await status();
    expect(component(told, HealthComponent.FAILURES)?.score).toBe(0);
    expect(told.health?.limitedBy).toBe(HealthComponent.FAILURES);
    expect(told.serving).toBe(true);
    const health = createClient(Health, server.transport);
    expect((await health.check({})).status).toBe(ServingStatus.SERVING);
  });
});
