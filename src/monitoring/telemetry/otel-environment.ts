/** The variables of a process. */
export type OtelVariables = Readonly<Record<string, string | undefined>>;

export type OtlpProtocol = "grpc" | "http/protobuf";

/** Whether what came in without a trace, or with one, is kept. */
export interface Sampling {
  /** Whether a caller's decision is kept to. */
  readonly parentBased: boolean;
  /** The share of traces that are kept, from 0 to 1. */
  readonly share: number;
}

/** What the environment says about exporting, by OpenTelemetry's variables. Absent signals are not exported. */
export interface OtelEnvironment {
  readonly traces?: OtlpProtocol;
  readonly metrics?: OtlpProtocol;
  readonly logs?: OtlpProtocol;
  readonly sampling: Sampling;
  readonly metricIntervalMs: number;
  /** What cannot be followed, for the log. */
  readonly problems: readonly string[];
}

const signals = ["traces", "metrics", "logs"] as const;

const defaultMetricIntervalMs = 60_000;

/** Above this (24.8 days) a timer of Node is due at once. */
const longestIntervalMs = 2 ** 31 - 1;

/** What is followed, here or by those who export. */
const followed = new RegExp(
  `^OTEL_(${[
    ...["SDK_DISABLED", "SERVICE_NAME", "RESOURCE_ATTRIBUTES", "METRIC_EXPORT_INTERVAL", "TRACES_SAMPLER(_ARG)?"],
    "(TRACES|METRICS|LOGS)_EXPORTER",
    "EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?(ENDPOINT|PROTOCOL|HEADERS|TIMEOUT|COMPRESSION|INSECURE)",
    "EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?(CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE)",
  ].join("|")})$`,
);

/** What some variables ask for that is so anyway. */
const soAnyway: Readonly<Record<string, string>> = {
  OTEL_PROPAGATORS: "tracecontext",
  OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "cumulative",
  OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION: "explicit_bucket_histogram",
};

/**
 * Reads them. Where they say nothing of an endpoint, nor that a signal is exported, it is not: OpenTelemetry's own default
 * would send everything to a Collector on this machine that hardly anybody has.
 */
export function readOtelEnvironment(variables: OtelVariables): OtelEnvironment {
  const problems: string[] = [];
  const get = (name: string): string => variables[name]?.trim() ?? "";
  const disabled = get("OTEL_SDK_DISABLED").toLowerCase() === "true";
  const exported: { traces?: OtlpProtocol; metrics?: OtlpProtocol; logs?: OtlpProtocol } = {};
  for (const signal of disabled ? [] : signals) {
    const own = signal.toUpperCase();
    const exporterName = `OTEL_${own}_EXPORTER`;
    const named = get(exporterName);
    const wanted = named === "" ? [] : named.split(",").map((name) => name.trim().toLowerCase());
    for (const name of wanted) {
      // `/metrics` is there for those who scrape.
      const known = name === "otlp" || name === "none" || (signal === "metrics" && name === "prometheus");
      if (!known) problems.push(`${exporterName} names "${name}": only otlp and none are known here`);
    }
    const hasEndpoint = get("OTEL_EXPORTER_OTLP_ENDPOINT") !== "" || get(`OTEL_EXPORTER_OTLP_${own}_ENDPOINT`) !== "";
    if (wanted.length === 0 ? hasEndpoint : wanted.includes("otlp")) {
      const protocol = protocolOf(
        get(`OTEL_EXPORTER_OTLP_${own}_PROTOCOL`) || get("OTEL_EXPORTER_OTLP_PROTOCOL"),
        problems,
      );
      const of = get(`OTEL_EXPORTER_OTLP_${own}_ENDPOINT`) === "" ? "" : `${own}_`;
      const endpoint = get(`OTEL_EXPORTER_OTLP_${of}ENDPOINT`);
      if (endpoint === "" || isEndpoint(endpoint, protocol)) exported[signal] = protocol;
      else {
        problems.push(
          `OTEL_EXPORTER_OTLP_${of}ENDPOINT is no URL of a receiver, like http://localhost:4318: no ${signal} are exported`,
        );
      }
    }
  }
  const interval = get("OTEL_METRIC_EXPORT_INTERVAL");
  const metricIntervalMs = interval === "" ? defaultMetricIntervalMs : Number(interval);
  const isInterval = metricIntervalMs > 0 && metricIntervalMs <= longestIntervalMs;
  if (!isInterval) {
    problems.push(
      `OTEL_METRIC_EXPORT_INTERVAL is "${interval}": it is a number of milliseconds, ${longestIntervalMs} at most`,
    );
  }
  if (Object.keys(exported).length > 0) {
    for (const name of Object.keys(variables).sort()) {
      const isIgnored = name.startsWith("OTEL_") && !followed.test(name) && get(name) !== "";
      if (isIgnored && get(name).toLowerCase() !== soAnyway[name]) problems.push(`${name} is not followed here`);
    }
  }
  return {
    ...exported,
    sampling: samplingOf(get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG"), problems),
    metricIntervalMs: isInterval ? metricIntervalMs : defaultMetricIntervalMs,
    problems,
  };
}

/** gRPC takes a host and a port as well. */
function isEndpoint(text: string, protocol: OtlpProtocol): boolean {
  if (protocol === "grpc" && !text.includes("://")) return true;
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function protocolOf(name: string, problems: string[]): OtlpProtocol {
  if (name === "grpc" || name === "http/protobuf" || name === "") return name || "http/protobuf";
  problems.push(`the OTLP protocol "${name}" is not known here: http/protobuf is taken; grpc is the other one`);
  return "http/protobuf";
}

function samplingOf(name: string, argument: string, problems: string[]): Sampling {
  const parentBased = name === "" || name.startsWith("parentbased_");
  switch (name.replace(/^parentbased_/, "")) {
    case "":
    case "always_on":
      return { parentBased, share: 1 };
    case "always_off":
      return { parentBased, share: 0 };
    case "traceidratio": {
      const share = argument === "" ? 1 : Number(argument);
      if (share >= 0 && share <= 1) return { parentBased, share };
      problems.push(`OTEL_TRACES_SAMPLER_ARG is "${argument}": a share is from 0 to 1, and all traces are kept`);
      return { parentBased, share: 1 };
    }
    default:
      problems.push(`OTEL_TRACES_SAMPLER names "${name}", which is not known here: all traces are kept`);
      return { parentBased: true, share: 1 };
  }
}
