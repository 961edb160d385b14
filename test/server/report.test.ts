import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { FailureCategory } from "../../gen/retake/v1/options_pb.js";
import { ReportSection, SloKind } from "../../gen/retake/v1/report_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import type { Storage } from "../../src/server/index.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { startServer, stopServer } from "./harness.ts";

const plain = "retake.test.v1.WorkflowsService/Plain";
const flaky = "retake.test.v1.WorkflowsService/Flaky";

const handlers = {
  plain: ({ text }: { text: string }) => {
    if (text === "wrong") throw new ConnectError("no such film", Code.InvalidArgument);
    if (text === "broken") throw new ConnectError("the disk lies", Code.DataLoss);
    return { text };
  },
  flaky: (_: unknown, { run }: { run: { attempt: number } }) => {
    if (run.attempt === 1) throw new ConnectError("gone", Code.Unavailable);
    return { attempts: run.attempt };
  },
};

const slos = [{ workflow: plain, availability: 0.9, latency: { threshold: { seconds: 5n }, objective: 0.9 } }];

async function start(world: { clock?: VirtualClock; storage?: Storage } = {}, config: object = {}) {
  const clock = world.clock ?? createVirtualClock();
  const storage = world.storage ?? createMemoryStorage({ clock });
  const test = await startServer(handlers, { config: { monitoring: { slos }, ...config }, clock, storage });
  const monitoring = createClient(MonitoringService, test.server.transport);
  /** Monitoring begins once the server listens. */
  for (const begun = monitoring.getReport({}); ; ) {
    if (await Promise.race([begun.then(() => true), clock.advance(1).then(() => false)])) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const report = async (sections: ReportSection[] = [], seconds = 3600n) => {
    const asked = monitoring.getReport({ window: { seconds }, sections });
    for (;;) {
      const found = await Promise.race([asked, clock.advance(0).then(() => undefined)]);
      if (found?.report !== undefined) return found.report;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { ...test, clock, storage, monitoring, report };
}

describe("GetReport", () => {
  it("tells what runs did and what failed, to the run", async () => {
    const test = await start();
    onTestFinished(() => stopServer(test));
    const { workflows, clock, report } = test;
    for (const text of ["a", "b", "c", "wrong"]) await workflows.plain({ text }).catch(() => undefined);
    const broken = await workflows.plain({ text: "broken" }).catch((error: ConnectError) => error);
    expect(broken).toBeInstanceOf(ConnectError);
    const call = workflows.flaky({});
    await clock.advance(60_000);
    await call;
    await clock.advance(20_000);

    const { execution, errors, slos: promises, security, missing } = await report();
    expect(missing).toEqual([]);
    expect(security?.events).toBeGreaterThan(0n);
    expect(execution?.workflowCount).toBe(2);
    expect(execution?.total).toMatchObject({ started: 6n, successRate: 4 / 6, retries: 1n });
    expect(execution?.workflows.map(({ workflow }) => workflow)).toEqual([plain, flaky]);
    expect(execution?.workflows[0]).toMatchObject({
      started: 5n,
      ended: [
        { state: RunState.SUCCEEDED, count: 3n },
        { state: RunState.FAILED, count: 2n },
      ],
      duration: { count: 3n },
      queue: { count: 5n },
      attempts: [
        { outcome: "FAILED", count: 2n },
        { outcome: "SUCCEEDED", count: 3n },
      ],
    });
    expect(errors).toMatchObject({
      attemptFailures: 3n,
      attemptFailureRate: 3 / 7,
      runFailures: 2n,
      runFailureRate: 2 / 6,
      recoveredRuns: 1n,
      // One of three runs with a failed attempt has succeeded all the same.
      recoveryRate: 1 / 3,
    });
    expect(errors?.byReason.map(({ name, attempts, runs }) => [name, attempts, runs])).toEqual(
      expect.arrayContaining([["UNAVAILABLE", 1n, 0n]]),
    );
    expect(errors?.byWorkflow).toMatchObject([
      { name: plain, attempts: 2n, runs: 2n },
      { name: flaky, attempts: 1n, runs: 0n },
    ]);
    expect(errors?.byBackend).toMatchObject([{ name: "in-process", attempts: 3n }]);
    expect(promises).toMatchObject([
      { kind: SloKind.AVAILABILITY, runs: 5n, bad: 2n, achieved: 0.6 },
      { kind: SloKind.LATENCY, runs: 3n, bad: 0n, budgetLeft: 1, burnRate1h: 0 },
    ]);
    // Of five runs a half may fail, and two have.
    expect(promises[0]?.budgetLeft).toBeCloseTo(-3, 9);
    expect(promises[0]?.burnRate1h).toBeCloseTo(4, 9);
  });

  it("counts what happens in its window alone, and goes on over a restart", async () => {
    const first = await start();
    await first.workflows.plain({ text: "a" });
    await first.clock.advance(20_000);
    await stopServer(first);
    const test = await start(first);
    onTestFinished(() => stopServer(test));
    await test.clock.advance(20_000);
    await test.workflows.plain({ text: "b" });
    await test.clock.advance(20_000);
    const { report } = await test.monitoring.getReport({ window: { seconds: 3600n } });
    expect(report?.execution?.total?.started).toBe(1n);
    await test.clock.advance(600_000);
    expect((await test.report([ReportSection.EXECUTION], 600n)).execution?.total?.started).toBe(0n);
  });

  it("names critical failures with their runs, those of an earlier process as well", async () => {
    const first = await start();
    await first.workflows.plain({ text: "broken" }).catch(() => undefined);
    const before = (await first.report([ReportSection.ERRORS])).errors?.critical ?? [];
    expect(before).toMatchObject([
      { workflow: plain, endpoint: "in-process", attempt: 1, message: expect.stringContaining("disk lies") },
    ]);
    await stopServer(first);
    const test = await start(first);
    onTestFinished(() => stopServer(test));
    const { errors } = await test.report([ReportSection.ERRORS]);
    expect(errors?.critical.map(({ runId }) => runId)).toEqual(before.map(({ runId }) => runId));
    expect(errors?.critical[0]?.category).not.toBe(FailureCategory.UNSPECIFIED);
  });

  it("tells of a server that measures nothing what there is", async () => {
    const test = await start({}, { monitoring: { disabled: true } });
    onTestFinished(() => stopServer(test));
    const { status, resilience, missing, execution } = await test.report();
    expect(status?.serving).toBe(true);
    expect(resilience).toBeDefined();
    expect(execution).toBeUndefined();
    expect(missing.map(({ section }) => section)).toEqual(expect.arrayContaining([ReportSection.EXECUTION]));
    expect(missing.find(({ section }) => section === ReportSection.EXECUTION)?.reason).toContain(
      "monitoring is disabled",
    );
  });

  it("has only the sections that are asked for", async () => {
    const test = await start();
    onTestFinished(() => stopServer(test));
    await test.clock.advance(30_000);
    const report = await test.report([ReportSection.SERIES]);
    expect(report.series.map(({ id }) => id)).toContain("event_loop_delay");
    expect(report).toMatchObject({ trends: [], missing: [] });
    expect(report.status).toBeUndefined();
  });
});
