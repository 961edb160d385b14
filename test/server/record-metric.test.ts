import { Code, createClient } from "@connectrpc/connect";
import { metrics as openTelemetry } from "@opentelemetry/api";
import { expect, it, onTestFinished } from "vitest";
import { MetricKind, MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { createError } from "../../src/runs/index.ts";
import { createTestServer } from "../../src/testing/index.ts";
import { startServer, stopServer } from "./harness.ts";
import { fetchWeb } from "./listening-server.ts";
import { metricsOf } from "./metrics.ts";

async function start(handlers: Parameters<typeof startServer>[0]) {
  const test = await startServer(handlers, { config: { web: { port: 0 }, monitoring: {} } });
  onTestFinished(() => stopServer(test));
  const client = createClient(MonitoringService, test.server.transport);
  const sample = async (): Promise<void> => {
    // Monitoring begins once the server listens.
    for (const begun = client.listAlertRules({}); ; ) {
      if (await Promise.race([begun.then(() => true), test.clock.advance(1).then(() => false)])) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await test.clock.advance(10_000);
  };
  return { ...test, client, sample };
}

it("metrics of callers and handlers are on /metrics and in the series, beside the server's", async () => {
  const { server, workflows, client, sample } = await start({
    plain: ({ text }, { metrics }) => {
      metrics.counter("studio.frames", { unit: "{frame}" }).add(24, { style: text });
      metrics.histogram("studio.took", { unit: "s", bounds: [1, 10] }).record(3);
      // A mistake of the handler's, which must not be one of the run's.
      metrics.gauge("studio.frames").record(Number.NaN);
      return { text };
    },
  });
  expect(await workflows.plain({ text: "noir" })).toMatchObject({ text: "noir" });
  await client.recordMetric({
    records: [
      { name: "studio.frames", kind: MetricKind.COUNTER, value: 1, attributes: { style: "noir" } },
      { name: "studio.depth", kind: MetricKind.GAUGE, value: 7, unit: "{job}", description: "What waits." },
    ],
  });
  const shown = await metricsOf(server);
  expect(shown.get('studio_frames_total{style="noir"}')).toBe(25);
  expect(shown.get("studio_depth")).toBe(7);
  expect(shown.get('studio_took_seconds_bucket{le="10"}')).toBe(1);
  await sample();
  const { metrics } = await client.listMetrics({ nameContains: "studio" });
  expect(metrics).toMatchObject([
    { name: "studio_depth", unit: "{job}", description: "What waits." },
    { name: "studio_frames_total", labels: ["style"] },
    { name: "studio_took_seconds", kind: MetricKind.HISTOGRAM },
  ]);
});

it("nothing of a person is in the metrics of callers and handlers, nor in those of what their runs failed with", async () => {
  const mail = "planted.person@example.org";
  const { server, workflows, client, sample } = await start({
    plain: ({ text }, { metrics }) => {
      metrics.counter("studio.frames", { description: `As ${mail} asked.` }).add(1, { of: text });
      openTelemetry.getMeter("studio").createCounter("studio.takes").add(1, { of: text });
      throw createError(Code.FailedPrecondition, `REFUSED by ${mail}`, "no");
    },
  });
  // The meters of the process are those of the server once its monitoring has begun.
  await sample();
  await expect(workflows.plain({ text: `for ${mail}` })).rejects.toThrow();
  const attributes = { of: mail };
  await client.recordMetric({ records: [{ name: "studio.depth", kind: MetricKind.GAUGE, value: 1, attributes }] });
  await sample();
  const { body } = await fetchWeb(server.web?.port ?? 0, "/metrics", { method: "GET", headers: {} });
  const { metrics } = await client.listMetrics({ pageSize: 1_000 });
  const queried = ["studio_frames_total", "studio_takes_total", "studio_depth", "retake_run_failures_total"];
  const series = await Promise.all(queried.map((metric) => client.querySeries({ metric })));
  const told = [body.toString(), JSON.stringify(metrics.map(({ description, labels }) => [description, labels]))];
  told.push(...series.map((each) => JSON.stringify(each.series.map(({ labels }) => labels))));
  for (const text of told) {
    expect(text).toMatch(/email:[0-9a-f]{16}/);
    expect(text).not.toContain("planted");
  }
});

it("RecordMetric refuses what cannot be taken, by its rules and by what is there", async () => {
  const { server } = createTestServer();
  await server.listen();
  onTestFinished(() => server.close());
  const client = createClient(MonitoringService, server.transport);
  const base = { name: "studio.depth", kind: MetricKind.GAUGE, value: 1 };
  const refused = async (record: object) => {
    const error = await client.recordMetric({ records: [{ ...base, ...record }] }).catch((reason: unknown) => reason);
    return (error as { code?: Code }).code;
  };
  expect(await refused({})).toBeUndefined();
  expect(await refused({ kind: MetricKind.COUNTER })).toBe(Code.InvalidArgument);
  expect(await refused({ kind: MetricKind.UNSPECIFIED })).toBe(Code.InvalidArgument);
  expect(await refused({ name: "" })).toBe(Code.InvalidArgument);
  expect(await refused({ value: Number.POSITIVE_INFINITY })).toBe(Code.InvalidArgument);
  expect(await refused({ name: "studio.frames", kind: MetricKind.COUNTER, value: -1 })).toBe(Code.InvalidArgument);
  expect(await refused({ bounds: [1] })).toBe(Code.InvalidArgument);
  for (let i = 0; i < 199; i++) await client.recordMetric({ records: [{ ...base, name: `studio.m${i}` }] });
  expect(await refused({ name: "studio.more" })).toBe(Code.ResourceExhausted);
  const off = createTestServer({ config: { telemetry: { disabled: true } } }).server;
  await off.listen();
  onTestFinished(() => off.close());
  await expect(createClient(MonitoringService, off.transport).recordMetric({ records: [base] })).rejects.toMatchObject({
    code: Code.FailedPrecondition,
  });
});
