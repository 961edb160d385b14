import { describe, expect, it } from "vitest";
import { readOtelEnvironment } from "../../../src/monitoring/telemetry/otel-environment.ts";

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
const all = (protocol: string) => ({ traces: protocol, metrics: protocol, logs: protocol });

describe("readOtelEnvironment", () => {
  it.each<[string, Record<string, string>, object]>([
    ["exports nothing where nothing is said", {}, {}],
    ["exports everything to an endpoint, over HTTP", endpoint, all("http/protobuf")],
    ["over gRPC where that is said", { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, all("grpc")],
    [
      "each signal by its own protocol",
      { ...endpoint, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "grpc" },
      { ...all("http/protobuf"), logs: "grpc" },
    ],
    [
      "one signal where it alone has an endpoint",
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c:4318/v1/traces" },
      { traces: "http/protobuf" },
    ],
    ["a signal that is named, at the default endpoint", { OTEL_TRACES_EXPORTER: "otlp" }, { traces: "http/protobuf" }],
    [
      "not what is switched off",
      { ...endpoint, OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" },
      { traces: "http/protobuf" },
    ],
    ["nothing where OpenTelemetry is switched off", { ...endpoint, OTEL_SDK_DISABLED: "TRUE" }, {}],
  ])("%s", (_, variables, expected) => {
    const { sampling, metricIntervalMs, problems, ...exported } = readOtelEnvironment(variables);
    expect(exported).toEqual(expected);
    expect({ sampling, metricIntervalMs, problems }).toEqual({
      sampling: { parentBased: true, share: 1 },
      metricIntervalMs: 60_000,
      problems: [],
    });
  });

  it.each([
    ["always_on", "", { parentBased: false, share: 1 }],
    ["always_off", "", { parentBased: false, share: 0 }],
    ["traceidratio", "0.25", { parentBased: false, share: 0.25 }],
    ["parentbased_always_off", "", { parentBased: true, share: 0 }],
    ["parentbased_traceidratio", "0.5", { parentBased: true, share: 0.5 }],
  ])("samples by %s %s", (name, argument, sampling) => {
    const variables = { OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: argument };
    expect(readOtelEnvironment(variables).sampling).toEqual(sampling);
  });

  it("tells what it cannot follow, and goes on with the default", () => {
    const { problems, sampling, metricIntervalMs, traces } = readOtelEnvironment({
      ...endpoint,
      OTEL_TRACES_EXPORTER: "otlp,zipkin",
      OTEL_METRICS_EXPORTER: "prometheus",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_LOGS_EXPORTER: "none",
      OTEL_TRACES_SAMPLER: "jaeger_remote",
      OTEL_METRIC_EXPORT_INTERVAL: "soon",
    });
    expect(problems).toEqual([
      'OTEL_TRACES_EXPORTER names "zipkin": only otlp and none are known here',
      'the OTLP protocol "http/json" is not known here: http/protobuf is taken; grpc is the other one',
      'OTEL_METRIC_EXPORT_INTERVAL is "soon": it is a number of milliseconds, 2147483647 at most',
      'OTEL_TRACES_SAMPLER names "jaeger_remote", which is not known here: all traces are kept',
    ]);
    expect({ sampling, metricIntervalMs, traces }).toEqual({
      sampling: { parentBased: true, share: 1 },
      metricIntervalMs: 60_000,
      traces: "http/protobuf",
    });
  });

  it("takes no interval that is longer than a timer: it would be over at once", () => {
    const { problems, metricIntervalMs } = readOtelEnvironment({ OTEL_METRIC_EXPORT_INTERVAL: "2147483648" });
    expect(metricIntervalMs).toBe(60_000);
    expect(problems).toEqual([expect.stringContaining("2147483647 at most")]);
  });

  it("sends nothing to what is no URL, where others would send it to this machine", () => {
    const { problems, ...exported } = readOtelEnvironment({
      OTEL_EXPORTER_OTLP_ENDPOINT: "not_a_url",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c:4318/v1/traces",
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "collector:4317",
      OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "grpc",
    });
    expect(exported).toMatchObject({ traces: "http/protobuf", logs: "grpc" });
    expect(exported.metrics).toBeUndefined();
    expect(problems).toEqual([
      expect.stringMatching(/^OTEL_EXPORTER_OTLP_ENDPOINT is no URL.*no metrics are exported$/),
    ]);
  });

  it("tells of variables that it does not follow, unless they ask for what is so anyway, or nothing is exported", () => {
    const more = {
      OTEL_BSP_SCHEDULE_DELAY: "10",
      OTEL_PROPAGATORS: "b3",
      OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta",
      OTEL_LOG_LEVEL: "",
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "5000",
    };
    expect(readOtelEnvironment(more).problems).toEqual([]);
    expect(readOtelEnvironment({ ...endpoint, ...more }).problems).toEqual([
      "OTEL_BSP_SCHEDULE_DELAY is not followed here",
      "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is not followed here",
      "OTEL_PROPAGATORS is not followed here",
    ]);
    expect(readOtelEnvironment({ ...endpoint, OTEL_PROPAGATORS: "tracecontext" }).problems).toEqual([]);
  });
});
