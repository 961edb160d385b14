import { setTimeout as sleep } from "node:timers/promises";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { metricName } from "../../src/monitoring/prometheus/metric-name.ts";
import { attemptSpanId, runSpanId, stepSpanId } from "../../src/span-ids.ts";
import { spanIdOf, traceIdOf } from "../../src/traceparent.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { fetchWeb } from "../server/listening-server.ts";
import { type Collected, type CollectedSpan, Collector } from "./collector/collector.ts";
import { TracedCalls } from "./collector/traced-calls.ts";
import { type Connection, connect } from "./connection.ts";
import { eventsOf, type Journal, readJournals, stepsOf } from "./kill/journals.ts";
import { readMarks } from "./marks.ts";
import { createServerSite, type ServerProcess } from "./server-process.ts";

/** How long the Collector is away. RETAKE_TEST_OUTAGE_SECONDS=60 has it away for a whole minute. */
const outageMs = Number(process.env["RETAKE_TEST_OUTAGE_SECONDS"] ?? "8") * 1000;

/** Channels of gRPC that have failed for a minute wait for as long as that until they try again. */
const patience = { timeout: 60_000 + outageMs, interval: 200 };

const workflow = (name: string) => `${WorkloadService.typeName}/${name}`;

/** One call of every kind, in every way: those that succeed, are retried, fall back, stream, fail and are cancelled. */
async function makeEverything({ runs, workloads, admin }: Connection, web: Connection["workloads"][], key: string) {
  for (const client of [workloads, ...web]) await client.single({ text: key });
  expect((await workloads.flaky({ key: `${key} flaky`, failures: 2 })).token).not.toBe("");
  expect((await workloads.flaky({ key: `${key} hopeless`, failures: 9 })).token).not.toBe("");
  await workloads.family({ text: key });
  for await (const _ of workloads.stream({ lines: 3 })) {
    // To its end.
  }
  const { run } = await runs.startRun({ workflow: workflow("Held") });
  const runId = run?.runId ?? "";
  await expect.poll(async () => (await runs.getRun({ runId })).run?.state, patience).toBe(RunState.RUNNING);
  await runs.cancelRun({ runId });
  await expect.poll(async () => (await runs.getRun({ runId })).run?.state, patience).toBe(RunState.CANCELLED);
  await expect(runs.getRun({ runId: "00000000-0000-7000-8000-000000000000" })).rejects.toMatchObject({
    code: Code.NotFound,
  });
  const { fault } = await admin.injectFault({
    fault: { workflow: workflow("Steps"), effect: { case: "status", value: { code: "DATA_LOSS" } } },
    duration: { seconds: 60n },
  });
  await expect(workloads.steps({ text: key })).rejects.toMatchObject({ code: Code.DataLoss });
  await admin.removeFault({ faultId: fault?.faultId ?? "" });
}

const spanText = (span: Pick<CollectedSpan, "traceId" | "spanId" | "parentSpanId" | "name">): string =>
  `${span.traceId} ${span.spanId} below ${span.parentSpanId}: ${span.name}`;

/** The spans that a journal tells of. */
function spansOf(journal: Journal): string[] {
  const [accepted] = eventsOf(journal, "accepted");
  const { runId, traceparent = "", parentRunId = "", workflow: name = "" } = accepted ?? {};
  const id = runId ?? "";
  const traceId = traceIdOf(traceparent);
  return [
    {
      spanId: runSpanId(id),
      parentSpanId: parentRunId === "" ? spanIdOf(traceparent) : runSpanId(parentRunId),
      name: `run ${name}`,
    },
    ...eventsOf(journal, "attemptStarted").map(({ attempt }) => ({
      spanId: attemptSpanId(id, attempt),
      parentSpanId: runSpanId(id),
      name: `attempt ${name}`,
    })),
    ...stepsOf(journal).map(({ step, attempt }) => ({
      spanId: stepSpanId(id, attempt, step.name),
      parentSpanId: attemptSpanId(id, attempt),
      name: `step ${step.name}`,
    })),
  ].map((span) => spanText({ traceId, ...span }));
}

/** The spans of the server for the calls that were made. */
function expectCalls({ spans }: Collected, { all }: TracedCalls): void {
  const served = spans.filter(({ kind }) => kind === 2);
  const told = served.map(
    ({ traceId, parentSpanId, name, attributes }) =>
      `${traceId} ${parentSpanId} ${name} ${String(attributes["rpc.status_code"])}`,
  );
  expect(new Set(told)).toEqual(
    new Set(all.map(({ traceId, spanId, method, status }) => `${traceId} ${spanId} ${method} ${status}`)),
  );
}

/** Each attempt that follows another one is linked to it, also where a crash is between them. */
function expectLinks({ spans }: Collected, journals: readonly Journal[]): void {
  const links = new Map(spans.map(({ spanId, links: to }) => [spanId, to]));
  const interrupted = journals.filter((journal) =>
    eventsOf(journal, "attemptFailed").some(({ failure }) => failure?.reason === "INTERRUPTED"),
  );
  expect(interrupted).toHaveLength(1);
  for (const journal of journals) {
    for (const { attempt } of eventsOf(journal, "attemptStarted")) {
      const { runId } = journal.run;
      expect(links.get(attemptSpanId(runId, attempt))).toEqual(attempt > 1 ? [attemptSpanId(runId, attempt - 1)] : []);
    }
  }
}

/** What a server has printed as lines of its log, but for what is told to nobody else. */
function printed({ lines }: ServerProcess): string[] {
  return lines
    .filter((line) => line.startsWith('{"level":'))
    .map((line) => JSON.parse(line) as { level: number; msg: string; run_id?: string })
    .filter(({ level, msg }) => level >= 30 && !/can(?:not)? be exported|^OpenTelemetry tells/.test(msg))
    .map(({ msg, run_id: runId = "" }) => `${msg} ${runId}`);
}

/** What records of the audit log have, which are logged with the log. */
const auditSequence = "retake.audit.sequence";

/** Every record of the audit log, up to the last. */
function expectAudit({ logs }: Collected, last: number): void {
  const told = logs.flatMap(({ attributes }) => attributes[auditSequence] ?? []);
  expect(last).toBeGreaterThan(20);
  expect(told).toEqual(Array.from({ length: last }, (_, index) => index + 1));
}

/** The lines of the log of a server that was killed, without the last one, and of one that was not. */
function expectLogs({ logs }: Collected, killed: ServerProcess, stopped: ServerProcess): void {
  const lost = printed(killed).at(-1);
  // Logged less than the moment before the kill for which lines wait to be sent.
  expect(lost).toMatch(/^a drill is over/);
  // What is about a run leads to its trace.
  expect(logs.filter((log) => "retake.run.id" in log.attributes && (log.traceId === "" || log.spanId === ""))).toEqual(
    [],
  );
  expect(linesOf(logs)).toEqual([...printed(killed).slice(0, -1), ...printed(stopped)]);
}

/** Lines of the log as {@link printed} has them. */
function linesOf(logs: Collected["logs"]): string[] {
  return logs
    .filter(({ attributes }) => !(auditSequence in attributes))
    .map(({ body, attributes }) => `${String(body)} ${String(attributes["retake.run.id"] ?? "")}`);
}

/** Each leads to a span that is there, and to its run where it is a run's. */
function expectExemplars({ metrics, spans }: Collected): void {
  const runs = new Map(
    spans.map(({ traceId, spanId, attributes }) => [`${traceId} ${spanId}`, attributes["retake.run.id"]]),
  );
  for (const name of ["rpc.server.call.duration", "retake.run.duration", "retake.attempt.duration"]) {
    const exemplars = metrics
      .filter((metric) => metric.name === name)
      .flatMap(({ points }) => points.flatMap((point) => point.exemplars));
    expect(exemplars, name).not.toEqual([]);
    for (const { value, traceId, spanId, attributes } of exemplars) {
      expect(value, name).toBeGreaterThanOrEqual(0);
      expect([...runs.keys()], name).toContain(`${traceId} ${spanId}`);
      expect(attributes["retake.run.id"], name).toBe(runs.get(`${traceId} ${spanId}`));
    }
  }
}

/** What a counter has come to, over all processes. */
function total({ metrics }: Collected, name: string, attributes: Readonly<Record<string, unknown>> = {}): number {
  const series = new Map<string, number>();
  for (const { points } of metrics.filter((metric) => metric.name === name)) {
    for (const point of points) {
      if (Object.entries(attributes).some(([key, value]) => point.attributes[key] !== value)) continue;
      const key = `${point.startTimeUnixNano} ${JSON.stringify(point.attributes)}`;
      series.set(key, Math.max(series.get(key) ?? 0, point.value));
    }
  }
  return series.values().reduce((sum, value) => sum + value, 0);
}

/** The names of `/metrics`, without what Prometheus makes of a resource. */
async function exposedNames(port: number): Promise<string[]> {
  const { body } = await fetchWeb(port, "/metrics", { method: "GET", headers: {} });
  return Array.from(body.toString().matchAll(/^# TYPE (\S+) /gm), ([, name = ""]) => name).filter(
    (name) => name !== "target_info",
  );
}

function collectedNames({ metrics }: Collected): ReadonlySet<string> {
  return new Set(metrics.map(({ name, unit, kind }) => metricName(name, unit, kind)));
}

describe.each(["grpc", "http/protobuf"] as const)("a real Collector, by OTLP over %s,", (protocol) => {
  it("has every span, metric and line of the log, although it is away and the server is killed meanwhile", async (context) => {
    await using collector = await Collector.create(context);
    await collector.start();
    await using site = await createServerSite({
      config: { workflows: { [workflow("Flaky")]: { fallbacks: [workflow("Single")] } } },
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint(protocol),
        OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
        OTEL_METRIC_EXPORT_INTERVAL: "1000",
        OTEL_SERVICE_NAME: "studio",
      },
    });
    const calls = new TracedCalls();
    const first = site.launch();
    await first.ready;
    const baseUrl = `http://127.0.0.1:${site.webPort}`;
    const ofWeb = { baseUrl, httpVersion: "1.1" as const, interceptors: [calls.interceptor] };
    const web = [createConnectTransport(ofWeb), createGrpcWebTransport(ofWeb)].map((transport) =>
      createClient(WorkloadService, transport),
    );
    // Spans and lines are sent again each in their own time.
    const arrived = (): Promise<void> =>
      expect
        .poll(async () => {
          const collected = await collector.read();
          expectCalls(collected, calls);
          expect(linesOf(collected.logs)).toEqual(printed(first));
        }, patience)
        .toBeUndefined();

    {
      using connection = connect(site.grpcPort, [calls.interceptor]);
      await makeEverything(connection, web, "there");
      await collector.stop();
      await makeEverything(connection, web, "away");
      await sleep(outageMs);
      await collector.start();
      await arrived();

      // The call has arrived by the time of the kill, and the first step is made a moment before it.
      await connection.admin.injectFault({
        fault: { workflow: workflow("Held"), effect: { case: "delay", value: { duration: { seconds: 30n } } } },
        duration: { seconds: 4n },
      });
      const { run } = await connection.runs.startRun({
        workflow: workflow("Held"),
        input: { case: "json", value: '{"gate":"g"}' },
      });
      await arrived();
      await expect
        .poll(() => readMarks(site.marksPath).some(({ runId, step }) => runId === run?.runId && step !== undefined), {
          ...patience,
          interval: 10,
        })
        .toBe(true);
      await sleep(300);
      const { spans } = await collector.read();
      expect(
        spans.filter(({ name, attributes }) => name === "step before" && attributes["retake.run.id"] === run?.runId),
      ).toEqual([]);
      expect(await first.kill()).toEqual({ code: null, signal: "SIGKILL" });
    }

    const second = site.launch();
    await second.ready;
    second.release("g");
    using connection = connect(site.grpcPort, [calls.interceptor]);
    const journals = [...(await readJournals(connection)).values()];
    const { records } = await connection.admin.listAuditRecords({ pageSize: 1 });
    const names = await exposedNames(site.webPort);
    expect(await second.terminate()).toEqual({ code: 0, signal: null });
    await collector.stop();

    const collected = await collector.read();
    expect(new Set(collected.spans.map(({ service }) => service))).toEqual(new Set(["studio"]));
    const own = collected.spans.filter(({ kind }) => kind === 1).map(spanText);
    expect(new Set(own)).toEqual(new Set(journals.flatMap(spansOf)));
    expectCalls(collected, calls);
    expectLinks(collected, journals);
    expectExemplars(collected);
    expectLogs(collected, first, second);
    expectAudit(collected, Number(records[0]?.sequence));
    expect(names.filter((name) => !collectedNames(collected).has(name))).toEqual([]);
    expect(total(collected, "retake.runs.started")).toBe(journals.length);
    for (const state of [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]) {
      expect(total(collected, "retake.runs.ended", { "retake.run.state": RunState[state] }), RunState[state]).toBe(
        journals.filter(({ run }) => run.state === state).length,
      );
    }
  }, 900_000);
});
