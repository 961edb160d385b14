import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { systemRandom } from "../../src/clock.ts";
import { call, step, type WorkflowContext } from "../../src/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createKey } from "../../src/security/keys/key-format.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { KeyedResponseSchema, PlainResponseSchema, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, startServer, stopServer } from "./harness.ts";
import { everyTransport, startListening } from "./listening-server.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "./otlp-receiver.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerSpan = "b7ad6b7169203331";
const headers = { traceparent: `00-${traceId}-${callerSpan}-01` };

async function exportTo(protocol: "grpc" | "http/protobuf", more: Record<string, string> = {}): Promise<OtlpReceiver> {
  const receiver = await startOtlpReceiver(protocol);
  const variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    OTEL_EXPORTER_OTLP_HEADERS: "x-team=films",
    OTEL_SERVICE_NAME: "studio",
    ...more,
  };
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  return receiver;
}

/** The names from a span up to its root, and the parent of that. */
function pathOf(spans: readonly ReceivedSpan[], from: ReceivedSpan | undefined): string[] {
  if (from === undefined) return ["no span"];
  const parent = spans.find(({ spanId }) => spanId === from.parentSpanId);
  return [from.name, ...(parent === undefined ? [from.parentSpanId] : pathOf(spans, parent))];
}

/** The names of the spans that exemplars lead to. */
const exemplarSpans: Readonly<Record<string, RegExp>> = {
  "rpc.server.call.duration": /^retake\.test/,
  "retake.run.duration": /^run /,
  "retake.run.queue.duration": /^run /,
  "retake.attempt.duration": /^attempt /,
};

describe.each(["grpc", "http/protobuf"] as const)("what is exported by OTLP over %s", (protocol) => {
  it("is one trace from the caller to the step, with metrics and the log", async () => {
    const receiver = await exportTo(protocol);
    const listening = await startListening({
      plain: async (_, context) =>
        step(context, "frames", PlainResponseSchema, async () => {
          throw new TypeError("a bug of anna@films.example");
        }),
      keyed: async (_, context) => step(context, "frames", KeyedResponseSchema, async () => ({ text: "b" })),
    });
    const transports = everyTransport(listening);
    for (const [name, transport] of transports) {
      await createClient(WorkflowsService, transport).keyed({ key: name, text: "a" } as object, { headers });
    }
    const failed = listening.workflows.plain({ text: "a" }, { headers });
    await expect(failed).rejects.toMatchObject({ code: Code.Internal });
    await listening.server.close({ drainTimeoutMs: 0 });

    const { spans, metricNames, logs } = receiver;
    expect(new Set(spans.map((span) => `${span.traceId} ${span.service}`))).toEqual(new Set([`${traceId} studio`]));
    const keyed = "retake.test.v1.WorkflowsService/Keyed";
    const steps = spans.filter(
      ({ name, attributes }) => name === "step frames" && attributes["retake.workflow"] === keyed,
    );
    expect(steps.map((span) => pathOf(spans, span))).toEqual(
      transports.map(() => ["step frames", `attempt ${keyed}`, `run ${keyed}`, keyed, callerSpan]),
    );
    const calls = spans.filter(({ kind, name }) => kind === 2 && name === keyed);
    expect(calls.map(({ attributes }) => attributes["rpc.system.name"])).toEqual([
      "grpc",
      "connectrpc",
      "connectrpc",
      "grpc",
    ]);
    for (const { attributes } of calls) {
      expect(attributes).toMatchObject({ "server.address": "127.0.0.1", "server.port": expect.any(Number) });
    }
    const wrong = spans.filter(({ name }) => name === "retake.test.v1.WorkflowsService/Plain");
    expect(wrong.map(({ status, attributes }) => [status, attributes["error.type"]])).toEqual([[2, "INTERNAL"]]);
    expect(metricNames).toContain("rpc.server.call.duration");
    expect(metricNames).toContain("retake.spans.calls");
    expect(new Set(receiver.exemplars.map(({ metric }) => metric))).toEqual(
      new Set([
        ...["rpc.server.call.duration", "retake.run.duration", "retake.run.queue.duration"],
        ...["retake.attempt.duration", "retake.spans.duration"],
      ]),
    );
    const named = new Map(spans.map((span) => [span.spanId, span]));
    for (const { metric, ...exemplar } of receiver.exemplars) {
      const span = named.get(exemplar.spanId);
      expect(span?.name, metric).toMatch(exemplarSpans[metric] ?? /./);
      expect(exemplar).toMatchObject({
        traceId,
        value: expect.closeTo(0, -2),
        attributes: { "retake.run.id": span?.attributes["retake.run.id"] },
      });
    }
    expect(receiver.headers.every((team) => team === "films")).toBe(true);
    const line = logs.find(({ body }) => String(body).startsWith("an attempt failed"));
    expect(line).toMatchObject({
      severity: "ERROR",
      eventName: "rpc.server.call.exception",
      traceId,
      spanId: spans.find(({ name }) => name === "attempt retake.test.v1.WorkflowsService/Plain")?.spanId,
      attributes: {
        "exception.message": expect.stringMatching(/^a bug of (?!anna@films)/),
        "retake.run.id": wrong[0]?.attributes["retake.run.id"],
      },
    });
  });
});

describe("the audit log", () => {
  it("is exported with the log, each record as what it came to, and without personal data", async () => {
    const receiver = await exportTo("http/protobuf", { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none" });
    const { workflows, server } = await startListening();
    const admin = createClient(AdminService, server.transport);
    const { key } = await admin.createApiKey({ subject: "anna@films.example", level: AccessLevel.ADMIN });
    await workflows.plain({ text: "a" }, { headers: { "x-api-key": key } });
    const wrong = createKey(systemRandom);
    await workflows.plain({}, { headers: { "x-api-key": wrong.text } }).catch(() => undefined);
    const { records } = await admin.listAuditRecords({ oldestFirst: true });
    await server.close({ drainTimeoutMs: 0 });

    const audit = receiver.logs.filter(({ attributes }) => attributes["retake.audit.action"] !== undefined);
    expect(audit.slice(0, records.length).map(({ attributes }) => attributes["retake.audit.sequence"])).toEqual(
      records.map(({ sequence }) => Number(sequence)),
    );
    const of = (action: string) => audit.find(({ attributes }) => attributes["retake.audit.action"] === action);
    const plain = `${WorkflowsService.typeName}/Plain`;
    expect(of("run.start")).toMatchObject({
      severity: "INFO",
      body: expect.stringMatching(/^run\.start granted /),
      attributes: { "retake.audit.outcome": "granted", "retake.audit.authentication": "api_key" },
    });
    expect(of("auth.failed")).toMatchObject({
      severity: "WARN",
      body: `auth.failed denied ${plain}`,
      attributes: { "retake.audit.reason": "CREDENTIALS_REFUSED", "retake.audit.details.key_id": wrong.id },
    });
    const all = JSON.stringify(audit);
    for (const secret of ["anna@films.example", key, wrong.text]) expect(all).not.toContain(secret);
  });
});

/** Lets time pass, and what is sent meanwhile arrive. */
async function passWithOutput(clock: VirtualClock, ms: number): Promise<void> {
  await clock.advance(ms);
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    await clock.advance(0);
  }
}

describe("the trace of a run", () => {
  it("is whole when a crash has cut off an attempt, whose successor is linked to it", async () => {
    const receiver = await exportTo("http/protobuf", { OTEL_METRICS_EXPORTER: "none" });
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const start = (end: () => Promise<{ text: string }>): Promise<Harness> =>
      startServer(
        {
          keyed: async (_, context) => {
            await step(context, "frames", KeyedResponseSchema, async () => ({ text: "frames" }));
            return end();
          },
        },
        { clock, storage },
      );
    const first = await start(() => new Promise<never>(() => undefined));
    const { run } = await first.runs.startRun(
      {
        workflow: "retake.test.v1.WorkflowsService/Keyed",
        input: { case: "json", value: '{"text":"a"}' },
        idempotencyKey: "k",
      },
      { headers },
    );
    await clock.advance(1_000);
    // Nothing is closed: what the first process has not sent, it never will within the time of this test.
    const second = await start(async () => ({ text: "b" }));
    await clock.advance(900);
    expect(receiver.spans).toEqual([]);
    await stopServer(second);
    const workflow = "retake.test.v1.WorkflowsService/Keyed";
    const { spans } = receiver;
    const attempts = spans.filter(({ name }) => name === `attempt ${workflow}`);
    expect(attempts.map(({ attributes }) => attributes["retake.outcome"])).toEqual(["INTERRUPTED", "SUCCEEDED"]);
    expect(attempts[1]?.links).toEqual([attempts[0]?.spanId]);
    for (const attempt of attempts) {
      expect(pathOf(spans, attempt)).toEqual([`attempt ${workflow}`, `run ${workflow}`, callerSpan]);
      expect(attempt.attributes["retake.run.id"]).toBe(run?.runId);
    }
    const made = spans.find(({ name }) => name === "step frames");
    expect(pathOf(spans, made)).toEqual(["step frames", `attempt ${workflow}`, `run ${workflow}`, callerSpan]);
    expect(made?.parentSpanId).toBe(attempts[0]?.spanId);
    const whole = spans.find(({ name }) => name === `run ${workflow}`);
    expect(whole?.startMs).toBe(attempts[0]?.startMs);
    expect((whole?.endMs ?? 0) - (whole?.startMs ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect(spans).toHaveLength(4);
  });

  it.each([
    { when: "before it was sent", afterMs: 0, away: false },
    { when: "while the receiver was away", afterMs: 20_000, away: true },
    { when: "after it was taken", afterMs: 10_000, away: false },
  ])("is there once when the process was killed after the run's end, $when", async ({ afterMs, away }) => {
    const receiver = await exportTo("http/protobuf", { OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" });
    if (away) vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const { promise: held, resolve: release } = Promise.withResolvers<{ text: string }>();
    const first = await startServer({ limited: () => held }, { clock, storage });
    await first.runs.startRun({ workflow: "retake.test.v1.WorkflowsService/Limited" }, { headers });
    const start = { workflow: "retake.test.v1.WorkflowsService/Keyed", input: { case: "json", value: "{}" } } as const;
    for (const idempotencyKey of ["a", "b", "c"]) {
      await first.runs.startRun({ ...start, idempotencyKey }, { headers });
    }
    for (let passedMs = 0; passedMs < afterMs; passedMs += 500) await passWithOutput(clock, 500);
    // One that was open when the others were taken.
    release({ text: "" });
    await clock.advance(0);
    const { runs } = await first.runs.listRuns({});
    expect(runs.map(({ state }) => state)).toEqual(Array(4).fill(RunState.SUCCEEDED));
    const laterClock = createVirtualClock({ startMs: clock.now() + 60_000 });
    const crashed = storage.crash({ clock: laterClock });
    const before = receiver.spans.length;
    vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint);

    const second = await startServer({}, { clock: laterClock, storage: crashed });
    for (let passedMs = 0; passedMs < 5_000; passedMs += 500) await passWithOutput(laterClock, 500);
    await stopServer(second);
    const third = await startServer({}, { clock: laterClock, storage: crashed });
    await passWithOutput(laterClock, 3_000);
    await stopServer(third);
    const names = receiver.spans.filter(({ kind }) => kind !== 2).map(({ name }) => name);
    expect(names.filter((name) => name.startsWith("run "))).toHaveLength(4);
    expect(names.filter((name) => name.startsWith("attempt "))).toHaveLength(4);
    // Calls are in no journal: those that were not sent are lost.
    expect(before).toBe(afterMs === 10_000 ? 6 : 0);
  });

  it("is told again only as far as a receiver may not have it", async () => {
    const receiver = await exportTo("http/protobuf", { OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" });
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const start = (end: () => Promise<{ text: string }>): Promise<Harness> => {
      const keyed = async (_: unknown, context: WorkflowContext): Promise<{ text: string }> => {
        await step(context, "frames", KeyedResponseSchema, async () => ({ text: "frames" }));
        return end();
      };
      return startServer({ keyed }, { clock, storage });
    };
    const first = await start(() => new Promise<never>(() => undefined));
    const input = { case: "json", value: "{}" } as const;
    const workflow = "retake.test.v1.WorkflowsService/Keyed";
    await first.runs.startRun({ workflow, input, idempotencyKey: "k" }, { headers });
    await stopServer(first);
    const second = await start(async () => ({ text: "b" }));
    await clock.advance(1_000);
    await stopServer(second);
    const ids = receiver.spans.map(({ spanId }) => spanId);
    expect(receiver.spans.filter(({ name }) => name === "step frames")).toHaveLength(1);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("goes on in a back-end that is called", async () => {
    const receiver = await exportTo("http/protobuf", { OTEL_LOGS_EXPORTER: "none" });
    const backend = await startListening();
    const service = WorkflowsService.typeName;
    const gateway = await startListening(undefined, {
      implemented: false,
      config: { backends: [{ service, endpoints: [{ target: `dns:///127.0.0.1:${backend.grpcPort}` }] }] },
    });
    await gateway.workflows.plain({ text: "a" }, { headers });
    await gateway.server.close({ drainTimeoutMs: 0 });
    await backend.server.close({ drainTimeoutMs: 0 });
    const { spans } = receiver;
    const plain = `${service}/Plain`;
    const innermost = spans.filter(({ name }) => name === `attempt ${plain}`).map((span) => pathOf(spans, span));
    const outer = [`attempt ${plain}`, `run ${plain}`, plain, callerSpan];
    expect(innermost).toContainEqual(outer);
    expect(innermost).toContainEqual([`attempt ${plain}`, `run ${plain}`, plain, plain, ...outer]);
    const call = spans.find(({ name, kind }) => name === plain && kind === 3);
    expect(receiver.exemplars.filter(({ metric }) => metric === "rpc.client.call.duration")).toEqual([
      expect.objectContaining({
        ...{ traceId, spanId: call?.spanId },
        attributes: { "retake.run.id": call?.attributes["retake.run.id"] },
      }),
    ]);
  });

  it("is not made where the caller does not keep it, nor where nothing is exported", async () => {
    const receiver = await exportTo("http/protobuf", { OTEL_LOGS_EXPORTER: "none" });
    const { workflows, server } = await startListening();
    await workflows.plain({ text: "a" }, { headers: { traceparent: headers.traceparent.replace(/01$/, "00") } });
    await server.close({ drainTimeoutMs: 0 });
    expect(receiver.exemplars.map(({ traceId: led, spanId }) => led + spanId)).toContain("");
    expect(receiver.exemplars.every(({ traceId: led, spanId }) => led + spanId === "")).toBe(true);
    vi.stubEnv("OTEL_SDK_DISABLED", "true");
    const other = await startListening();
    await other.workflows.plain({ text: "a" }, { headers });
    await other.server.close({ drainTimeoutMs: 0 });
    expect(receiver.spans).toEqual([]);
  });

  it("is not made where nobody keeps any, and back-ends hear that from the run, whose log lines name the same trace", async () => {
    const receiver = await exportTo("http/protobuf", {
      ...{ OTEL_METRICS_EXPORTER: "none", OTEL_TRACES_SAMPLER: "always_off" },
    });
    const seen: string[] = [];
    const { workflows, server, runs } = await startListening({
      plain: (_, context) => {
        seen.push((context as WorkflowContext).run.traceparent);
        throw new TypeError("a bug");
      },
    });
    const failure = await workflows.plain({ text: "a" }).catch((error: unknown) => error);
    const runId = (failure as ConnectError).metadata.get("retake-run-id") ?? "";
    const journaled: RunEvent[] = [];
    for await (const { update } of runs.watchRun({ runId })) if (update.case === "event") journaled.push(update.value);
    expect(journaled[0]?.event).toMatchObject({ case: "accepted", value: { traceparent: "00" } });
    await server.close({ drainTimeoutMs: 0 });

    const [, named, spanId, flags] = seen[0]?.split("-") ?? [];
    expect([spanId?.length, flags]).toEqual([16, "00"]);
    const lines = receiver.logs.filter(({ attributes }) => attributes["retake.run.id"] === runId);
    const told = lines.filter(({ body }) => String(body).startsWith("an attempt failed"));
    expect(told.map((line) => line.traceId)).toEqual([named]);
    expect(receiver.spans).toEqual([]);
  });

  it("is named alike by a run and its children, where nobody keeps it", async () => {
    await exportTo("http/protobuf", { OTEL_METRICS_EXPORTER: "none", OTEL_TRACES_SAMPLER: "always_off" });
    const seen: (string | undefined)[] = [];
    const see = (context: unknown) => seen.push((context as WorkflowContext).run.traceparent.split("-")[1]);
    const { workflows } = await startListening({
      plain: async (_, context) => {
        see(context);
        await call(context, "child", WorkflowsService.method.limited, {});
        return {};
      },
      limited: (_, context) => {
        see(context);
        return {};
      },
    });
    await workflows.plain({ text: "a" });
    expect(seen).toHaveLength(2);
    expect(seen[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(seen[1]).toBe(seen[0]);
  });

  it("has the failure, and the error of a call only where the server is at fault", async () => {
    const receiver = await exportTo("http/protobuf", { OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" });
    const { workflows, server } = await startListening({
      plain: () => {
        throw new ConnectError("no such film", Code.NotFound);
      },
    });
    await workflows.plain({ text: "a" }, { headers }).catch(() => undefined);
    await server.close({ drainTimeoutMs: 0 });
    const of = (prefix: string) => {
      const span = receiver.spans.find(({ name }) => name.startsWith(prefix));
      return [span?.status, span?.attributes["error.type"], span?.attributes["rpc.status_code"]];
    };
    expect(of("run ")).toEqual([2, "NOT_FOUND", undefined]);
    expect(of("retake.test")).toEqual([0, undefined, "NOT_FOUND"]);
  });
});

describe("the span of a call that starts a run", () => {
  it("says which, and the log what of OpenTelemetry's variables cannot be followed", async () => {
    const receiver = await exportTo("http/protobuf", {
      OTEL_METRICS_EXPORTER: "none",
      OTEL_EXPORTER_OTLP_TIMEOUT: "abc",
      OTEL_BSP_SCHEDULE_DELAY: "10",
    });
    const { runs, server, log } = await startListening();
    const { run } = await runs.startRun({ workflow: "retake.test.v1.WorkflowsService/Plain" });
    await server.close({ drainTimeoutMs: 0 });
    const call = receiver.spans.find(({ name }) => name === "retake.v1.RunService/StartRun");
    expect(run?.runId).toMatch(/./);
    expect(call?.attributes["retake.run.id"]).toBe(run?.runId);
    const problems = log.flatMap(({ fields: { problem } }) => (problem === undefined ? [] : [String(problem)]));
    expect(problems).toContain("OTEL_BSP_SCHEDULE_DELAY is not followed here");
    expect(problems).toContainEqual(
      expect.stringMatching(/OTEL_EXPORTER_OTLP_TIMEOUT.*abc|abc.*OTEL_EXPORTER_OTLP_TIMEOUT/),
    );
  });
});
