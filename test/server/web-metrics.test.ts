import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { Code, createClient } from "@connectrpc/connect";
import { metrics, ValueType } from "@opentelemetry/api";
import { emptyResource } from "@opentelemetry/resources";
import { DataPointType } from "@opentelemetry/sdk-metrics";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { type Clock, systemClock } from "../../src/clock.ts";
import { MetricFamilies } from "../../src/monitoring/index.ts";
import { silentLogger } from "../../src/runs/index.ts";
import type { Monitoring } from "../../src/server/start-monitoring.ts";
import { WebMetrics } from "../../src/server/web-metrics.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { callers, startAccessServer } from "./access/access-server.ts";
import { asApiKey } from "./access/callers.ts";
import { fetchWeb, startListening } from "./listening-server.ts";
import { metricsOf } from "./metrics.ts";
import { startOtlpReceiver } from "./otlp-receiver.ts";

const get = (port: number, headers: Record<string, string> = {}) =>
  fetchWeb(port, "/metrics", { method: "GET", headers });

describe("GET /metrics", () => {
  it("answers in the format and the coding that are asked for", async () => {
    const { webPort, workflows } = await startListening();
    await workflows.plain({ text: "a" }, { headers: { traceparent: `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01` } });
    const text = await get(webPort);
    expect(text.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(text.body.toString()).toContain("# TYPE rpc_server_call_duration_seconds histogram\n");
    expect(text.body.toString()).not.toContain("# EOF");

    const open = await get(webPort, {
      accept: "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
      "accept-encoding": "gzip",
    });
    expect(open.headers["content-type"]).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(open.headers["content-encoding"]).toBe("gzip");
    const body = gunzipSync(open.body).toString();
    expect(body.endsWith("# EOF\n")).toBe(true);
    expect(body).toMatch(
      /rpc_server_call_duration_seconds_bucket\{.*WorkflowsService\/Plain.*\} 1 # \{trace_id="(a1){16}",run_id="[0-9a-f-]{36}"\} [0-9.e-]+ \d+\.?\d*\n/,
    );
    expect(body).toContain("target_info{");
  });

  it("refuses what is no reading, and gives no body to HEAD", async () => {
    const { webPort } = await startListening();
    const posted = await fetchWeb(webPort, "/metrics", { body: "x" });
    expect([posted.status, posted.headers.allow]).toEqual([405, "GET, HEAD"]);
    const head = await fetchWeb(webPort, "/metrics", { method: "HEAD", headers: {} });
    expect([head.status, head.body.length]).toEqual([200, 0]);
  });

  it("is not there where it is not wanted, nor where nothing is measured", async () => {
    for (const telemetry of [{ metricsEndpoint: false }, { disabled: true }]) {
      const { webPort } = await startListening({}, { config: { telemetry } });
      expect((await get(webPort)).status).toBe(404);
    }
  });

  it("writes no more than a little text in one turn, however fast it is", async () => {
    let turns = 0;
    const clock: Clock = {
      ...systemClock,
      setImmediate(callback) {
        turns++;
        return systemClock.setImmediate(callback);
      },
    };
    const dataPoints = Array.from({ length: 5_000 }, (_, shot) => ({
      ...{ startTime: [0, 0], endTime: [0, 0], value: shot },
      attributes: { shot, film: "the long take".repeat(10) },
    }));
    const descriptor = { name: "studio.shots", description: "", unit: "", valueType: ValueType.DOUBLE };
    const gauge = { descriptor, dataPointType: DataPointType.GAUGE, dataPoints, aggregationTemporality: 1 };
    const meters = {
      collect: async () => ({ resource: emptyResource(), scopeMetrics: [{ scope: { name: "a" }, metrics: [gauge] }] }),
    };
    const served = new WebMetrics({
      monitoring: async () => ({ meters, families: new MetricFamilies(silentLogger) }) as unknown as Monitoring,
      ...{ clock, log: silentLogger },
    });
    const written: number[] = [];
    const front = createServer((request, response) => {
      const write = response.write.bind(response);
      response.write = (chunk: Buffer, ...rest: never[]) => {
        written.push(chunk.length);
        return write(chunk, ...rest);
      };
      void served.serve(request, response);
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void front.close());
    await once(front, "listening");
    const { body } = await get((front.address() as AddressInfo).port);

    expect(body.toString().match(/^studio_shots\{/gm)).toHaveLength(5_000);
    expect(Math.max(...written)).toBeLessThan(128 * 1024);
    expect(turns).toBeGreaterThanOrEqual(written.length);
    expect(turns).toBeGreaterThan(body.length / (128 * 1024));
  });

  it("writes many thousand series in slices, with turns for others in between", async () => {
    const { webPort, server } = await startListening({}, { config: { telemetry: { cardinalityLimit: 30_000 } } });
    await get(webPort);
    const gauge = metrics.getMeter("studio").createGauge("studio.shots");
    for (let shot = 0; shot < 20_000; shot++) gauge.record(shot, { shot, film: "the long take" });
    await get(webPort);
    let turns = 0;
    let reading = true;
    const spin = (): void => {
      turns++;
      if (reading) setImmediate(spin);
    };
    setImmediate(spin);
    const all = await metricsOf(server);
    reading = false;
    expect(Array.from(all.keys()).filter((name) => name.startsWith("studio_shots{"))).toHaveLength(20_000);
    expect(turns).toBeGreaterThan(5);
  });
});

describe("the metrics of calls", () => {
  it("have the names of the semantic conventions on all protocols, and an error only where the server is at fault", async () => {
    const listening = await startListening({
      plain: () => {
        throw new TypeError("a bug");
      },
      async *streaming() {
        yield { update: { case: "result", value: "done" } };
      },
    });
    const { grpc, web, runs, server } = listening;
    for (const transport of [grpc, ...Object.values(web)]) {
      const client = createClient(WorkflowsService, transport);
      await client.plain({ text: "a" }).catch(() => undefined);
      for await (const _ of client.streaming({})) {
        // To its end.
      }
    }
    await runs.getRun({ runId: "00000000-0000-7000-8000-000000000000" }).catch(() => undefined);
    const all = await metricsOf(server);
    const count = (labels: string): number | undefined => all.get(`rpc_server_call_duration_seconds_count{${labels}}`);
    const plain = 'rpc_method="retake.test.v1.WorkflowsService/Plain"';
    const streaming = 'rpc_method="retake.test.v1.WorkflowsService/Streaming"';
    expect(count(`error_type="INTERNAL",${plain},rpc_status_code="INTERNAL",rpc_system_name="grpc"`)).toBe(2);
    expect(count(`error_type="INTERNAL",${plain},rpc_status_code="INTERNAL",rpc_system_name="connectrpc"`)).toBe(2);
    expect(count(`${streaming},rpc_status_code="OK",rpc_system_name="grpc"`)).toBe(2);
    expect(count(`${streaming},rpc_status_code="OK",rpc_system_name="connectrpc"`)).toBe(2);
    expect(count('rpc_method="retake.v1.RunService/GetRun",rpc_status_code="NOT_FOUND",rpc_system_name="grpc"')).toBe(
      1,
    );
  });
});

describe("calls of methods that there are not", () => {
  it("are counted as one, whatever they call, on all protocols, and their spans say what that is", async () => {
    const receiver = await startOtlpReceiver("http/protobuf");
    vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint);
    vi.stubEnv("OTEL_TRACES_EXPORTER", "otlp");
    vi.stubEnv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    onTestFinished(() => void vi.unstubAllEnvs());
    const { grpc, web, webPort, server } = await startListening();
    const { plain, streaming } = WorkflowsService.method;
    const renamed = (method: typeof plain, name: string) => ({ ...method, name }) as typeof plain;
    const headers = { traceparent: `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01` };
    for (const transport of [grpc, ...Object.values(web)]) {
      for (const name of ["Nothing", "Never", `N${"o".repeat(2_000)}`]) {
        const call = transport.unary(renamed(plain, name), undefined, undefined, headers, {});
        await expect(call).rejects.toMatchObject({ code: Code.Unimplemented });
      }
    }
    const missing = { ...streaming, name: "NoStream" } as typeof streaming;
    const streamed = async (): Promise<void> => {
      const noMessages = (async function* () {})();
      const { message } = await grpc.stream(missing, undefined, undefined, headers, noMessages);
      for await (const _ of message) expect.unreachable();
    };
    await expect(streamed()).rejects.toMatchObject({ code: Code.Unimplemented });
    await fetchWeb(webPort, "/favicon.ico", { method: "GET", headers: {} });
    const all = await metricsOf(server);
    const counted = [...all].filter(([name]) => name.includes("duration_seconds_count") && name.includes("UNIMPL"));
    const labels = (system: string): string =>
      `{error_type="UNIMPLEMENTED",rpc_method="_OTHER",rpc_status_code="UNIMPLEMENTED",rpc_system_name="${system}"}`;
    expect(Object.fromEntries(counted.filter(([name]) => name.startsWith("rpc_server")))).toEqual({
      [`rpc_server_call_duration_seconds_count${labels("grpc")}`]: 7,
      [`rpc_server_call_duration_seconds_count${labels("connectrpc")}`]: 6,
    });
    await server.close({ drainTimeoutMs: 0 });
    const spans = receiver.spans.filter(({ attributes }) => attributes["rpc.method"] === "_OTHER");
    expect(new Set(spans.map(({ name, traceId }) => `${name} ${traceId}`))).toEqual(
      new Set(["grpc", "connectrpc"].map((system) => `${system} ${"a1".repeat(16)}`)),
    );
    const original = spans.map(({ attributes }) => String(attributes["rpc.method_original"]));
    expect(original.filter((name) => name === `${WorkflowsService.typeName}/Never`)).toHaveLength(4);
    expect(Math.max(...original.map(({ length }) => length))).toBe(256);
  });
});

describe("GET /metrics where not everybody may", () => {
  it("takes credentials of the level that is configured, as calls do, and refuses others by the same words", async () => {
    const { server } = await startAccessServer({ telemetry: { metricsLevel: AccessLevel.PRIVILEGED } });
    onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
    const as = (headers: Record<string, string>) => get(server.web?.port ?? 0, headers);
    const level = AccessLevel.PRIVILEGED;
    const scraper = await as(asApiKey({ subject: "prometheus", level }));
    expect([scraper.status, scraper.body.toString().includes("# TYPE ")]).toEqual([200, true]);

    const nobody = await as({});
    expect([nobody.status, nobody.json]).toEqual([
      401,
      expect.objectContaining({ message: expect.stringContaining("GET /metrics needs the level PRIVILEGED") }),
    ]);
    const wrong = await as({ authorization: "Bearer rtk_wrong" });
    expect([wrong.status, wrong.headers["www-authenticate"]]).toEqual([401, "Bearer"]);
    const low = await as(asApiKey(callers.alice));
    expect([low.status, low.json]).toEqual([403, expect.objectContaining({ code: "permission_denied" })]);
    const limited = await as(asApiKey({ subject: "limited", level, workflows: ["a.B/C"] }));
    expect([limited.status, limited.json["message"]]).toEqual([
      403,
      expect.stringContaining("limited to some workflows"),
    ]);

    const admin = createClient(AdminService, server.transport);
    const { records } = await admin.listAuditRecords({
      filter: { resource: "retake.v1.MonitoringService/GET /metrics" },
    });
    expect(records.map(({ reason }) => reason).sort()).toEqual([
      "API_KEY_MISTYPED",
      "CREDENTIALS_LIMITED",
      "CREDENTIALS_MISSING",
      "LEVEL_TOO_LOW",
    ]);
  });
});

/** The status that a call on the gRPC port ends with whose client knows nothing of gRPC. */
function grpcStatus(
  port: number,
  { method, headers = {}, body, open }: { method: string; headers?: object; body: Buffer; open?: boolean },
): Promise<unknown> {
  const session = connect(`http://127.0.0.1:${port}`);
  onTestFinished(() => session.destroy());
  const path = `/${WorkflowsService.typeName}/${method}`;
  const stream = session.request({
    ...{ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers },
  });
  stream.write(body);
  if (open !== true) stream.end();
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const note = ({ "grpc-status": status }: IncomingHttpHeaders): void => {
    if (status !== undefined) resolve(status);
  };
  stream.on("response", note).on("trailers", note).on("error", reject).resume();
  return promise;
}

describe("calls that are refused before an interceptor sees them", () => {
  it("are counted with the status that they got, on both ports", async () => {
    const {
      server,
      webPort,
      grpcPort: port,
    } = await startListening(
      {
        async *streaming(_, { signal }) {
          yield { update: { case: "progress", value: { stage: "working", fraction: 0.5 } } };
          await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
      },
      { config: { web: { limits: { maxMessageBytes: 2_000 } } } },
    );
    const empty = Buffer.alloc(5);
    const tooLarge = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
    const all = [
      grpcStatus(port, { method: "Plain", headers: { "grpc-timeout": "soon" }, body: empty }),
      grpcStatus(port, { method: "Plain", headers: { "grpc-timeout": "1n" }, body: empty.subarray(1), open: true }),
      grpcStatus(port, { method: "Plain", body: tooLarge, open: true }),
      grpcStatus(port, { method: "Streaming", headers: { "grpc-timeout": "500m" }, body: empty }),
    ];
    expect((await Promise.all(all)).map(Number)).toEqual([
      ...[Code.Internal, Code.DeadlineExceeded, Code.ResourceExhausted, Code.DeadlineExceeded],
    ]);
    const path = `/${WorkflowsService.typeName}/Plain`;
    const post = (type: string, body: Buffer) =>
      fetchWeb(webPort, path, { method: "POST", headers: { "content-type": type }, body });
    await post("application/json", Buffer.from("{"));
    await post("application/json", Buffer.alloc(4_000, "a"));
    await post("application/grpc-web+proto", Buffer.from([0, 0, 0, 0, 1, 0xff]));
    const wanted = [
      ["Plain", "INTERNAL", "grpc", "INTERNAL"],
      ["Plain", "DEADLINE_EXCEEDED", "grpc", "DEADLINE_EXCEEDED"],
      ["Plain", "RESOURCE_EXHAUSTED", "grpc"],
      ["Streaming", "DEADLINE_EXCEEDED", "grpc", "DEADLINE_EXCEEDED"],
      ["Plain", "INVALID_ARGUMENT", "connectrpc"],
      ["Plain", "RESOURCE_EXHAUSTED", "connectrpc"],
      ["Plain", "INVALID_ARGUMENT", "grpc"],
    ].map(([method, status, system, error]) => {
      const at = `rpc_method="${WorkflowsService.typeName}/${method}",rpc_status_code="${status}"`;
      const labels = `${error === undefined ? "" : `error_type="${error}",`}${at},rpc_system_name="${system}"`;
      return [`rpc_server_call_duration_seconds_count{${labels}}`, 1];
    });
    const metrics = await metricsOf(server);
    const counted = [...metrics].filter(([name]) => name.startsWith("rpc_server_call_duration_seconds_count"));
    expect(Object.fromEntries(counted)).toEqual(Object.fromEntries(wanted));
  });
});
