import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestContext } from "vitest";
import { requireTool } from "../../tools.ts";
import { freePort } from "../server-process.ts";
import { buildCollector } from "./build-collector.ts";

/** A span as the Collector has written it down. Times are in nanoseconds. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly string[];
  /** Of its resource. */
  readonly service: unknown;
}

export interface CollectedMetric {
  readonly name: string;
  readonly unit: string;
  readonly kind: "gauge" | "counter" | "histogram";
  readonly points: readonly CollectedPoint[];
}

export interface CollectedPoint {
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Tells the series of one process from those of the next. */
  readonly startTimeUnixNano: string;
  /** Of a histogram, its count. */
  readonly value: number;
  readonly exemplars: readonly CollectedExemplar[];
}

export interface CollectedExemplar {
  readonly value: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface CollectedLog {
  readonly body: unknown;
  readonly severity: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly traceId: string;
  readonly spanId: string;
}

/** Everything that a Collector has written, in its order. */
export interface Collected {
  readonly spans: readonly CollectedSpan[];
  readonly metrics: readonly CollectedMetric[];
  readonly logs: readonly CollectedLog[];
}

/** A real OpenTelemetry Collector that writes what it gets to a file, which outlives it. */
export class Collector implements AsyncDisposable {
  readonly #program: string;
  readonly #root: string;
  readonly #ports: { readonly grpc: number; readonly "http/protobuf": number };
  #stop: (() => Promise<void>) | undefined;

  private constructor(program: string, root: string, ports: { grpc: number; "http/protobuf": number }) {
    this.#program = program;
    this.#root = root;
    this.#ports = ports;
  }

  /** One with an empty file, on ports of its own; it does not run yet. */
  static async create(context: TestContext): Promise<Collector> {
    const program = await requireCollector(context);
    const root = await mkdtemp(join(tmpdir(), "retake-collector-"));
    return new Collector(program, root, { grpc: await freePort(), "http/protobuf": await freePort() });
  }

  /** What `OTEL_EXPORTER_OTLP_ENDPOINT` says. */
  endpoint(protocol: "grpc" | "http/protobuf"): string {
    return `http://127.0.0.1:${this.#ports[protocol]}`;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const config = join(this.#root, "collector.yaml");
    const at = (port: number) => ({ endpoint: `127.0.0.1:${port}` });
    const pipeline = { receivers: ["otlp"], exporters: ["file"] };
    await writeFile(
      config,
      JSON.stringify({
        receivers: { otlp: { protocols: { grpc: at(this.#ports.grpc), http: at(this.#ports["http/protobuf"]) } } },
        exporters: { file: { path: this.#file, append: true, flush_interval: "100ms" } },
        service: {
          telemetry: { metrics: { level: "none" } },
          pipelines: { traces: pipeline, metrics: pipeline, logs: pipeline },
        },
      }),
    );
    const child = spawn(this.#program, ["--config", config], { stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    child.stderr.on("data", (chunk) => (output += chunk));
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    let over = false;
    void exited.then(() => {
      over = true;
    });
    this.#stop = async () => {
      child.kill("SIGTERM");
      await exited;
    };
    for (const port of Object.values(this.#ports)) {
      while (!(await listens(port))) {
        if (over) throw new Error(`the Collector has ended:\n${output}`);
        await sleep(20);
      }
    }
  }

  /** Stops in good order: what it has taken is in its file. */
  async stop(): Promise<void> {
    await this.#stop?.();
    this.#stop = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#root, { recursive: true, force: true });
  }

  async read(): Promise<Collected> {
    const text = existsSync(this.#file) ? await readFile(this.#file, "utf8") : "";
    // The last line may be on its way.
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
    const batches = lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Batch);
    return {
      spans: batches.flatMap(({ resourceSpans = [] }) => resourceSpans.flatMap(spansOf)),
      metrics: batches.flatMap(({ resourceMetrics = [] }) =>
        resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics.map(metricOf))),
      ),
      logs: batches.flatMap(({ resourceLogs = [] }) =>
        resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords.map(logOf))),
      ),
    };
  }

  get #file(): string {
    return join(this.#root, "collected.jsonl");
  }
}

/** Its program. Ends the test as skipped where it cannot be built, or as failed where tools are required. */
async function requireCollector(context: TestContext): Promise<string> {
  const go = requireTool("go", context);
  try {
    return await buildCollector(go);
  } catch (error) {
    // Where it cannot be built, .ci/run has said so.
    const known = (process.env["RETAKE_WITHOUT_COLLECTOR"] ?? "") !== "";
    if ((process.env["RETAKE_REQUIRE_TOOLS"] ?? "") !== "" && !known) throw error;
    const { message } = error as Error;
    console.warn(`Skipped: ${context.task.name}: ${message}`);
    return context.skip(message);
  }
}

// OTLP as JSON, as far as it is read here.

interface Batch {
  readonly resourceSpans?: readonly ResourceSpans[];
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly OtlpMetric[] }[];
  }[];
  readonly resourceLogs?: readonly { readonly scopeLogs: readonly { readonly logRecords: readonly OtlpLog[] }[] }[];
}

interface ResourceSpans {
  readonly resource: { readonly attributes?: readonly Attribute[] };
  readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
}

interface OtlpSpan extends Omit<CollectedSpan, "attributes" | "links" | "service"> {
  readonly attributes?: readonly Attribute[];
  readonly links?: readonly { readonly spanId: string }[];
}

interface OtlpMetric {
  readonly name: string;
  readonly unit?: string;
  readonly gauge?: { readonly dataPoints: readonly OtlpPoint[] };
  readonly sum?: { readonly dataPoints: readonly OtlpPoint[]; readonly isMonotonic?: boolean };
  readonly histogram?: { readonly dataPoints: readonly OtlpPoint[] };
}

interface OtlpPoint {
  readonly attributes?: readonly Attribute[];
  readonly startTimeUnixNano?: string;
  readonly asDouble?: number;
  readonly asInt?: string;
  readonly count?: string;
  readonly exemplars?: readonly OtlpExemplar[];
}

interface OtlpExemplar {
  readonly asDouble: number;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly filteredAttributes?: readonly Attribute[];
}

interface OtlpLog {
  readonly severityText: string;
  readonly body: AnyValue;
  readonly attributes?: readonly Attribute[];
  readonly traceId?: string;
  readonly spanId?: string;
}

interface Attribute {
  readonly key: string;
  readonly value: AnyValue;
}

interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string;
  readonly doubleValue?: number;
}

function spansOf({ resource, scopeSpans }: ResourceSpans): CollectedSpan[] {
  const service = attributesOf(resource.attributes)["service.name"];
  return scopeSpans.flatMap(({ spans }) =>
    spans.map(({ attributes, links = [], ...span }) => ({
      ...span,
      parentSpanId: span.parentSpanId ?? "",
      attributes: attributesOf(attributes),
      links: links.map(({ spanId }) => spanId),
      service,
    })),
  );
}

function metricOf({ name, unit = "", gauge, sum, histogram }: OtlpMetric): CollectedMetric {
  const points = (gauge ?? sum ?? histogram)?.dataPoints ?? [];
  return {
    name,
    unit,
    // What may fall is a gauge to Prometheus.
    kind: histogram !== undefined ? "histogram" : sum?.isMonotonic === true ? "counter" : "gauge",
    points: points.map(({ attributes, startTimeUnixNano = "", asDouble, asInt, count, exemplars = [] }) => ({
      attributes: attributesOf(attributes),
      startTimeUnixNano,
      value: Number(count ?? asDouble ?? asInt),
      exemplars: exemplars.map(({ asDouble: value, traceId = "", spanId = "", filteredAttributes }) => ({
        ...{ value, traceId, spanId, attributes: attributesOf(filteredAttributes) },
      })),
    })),
  };
}

function logOf({ severityText, body, attributes, traceId = "", spanId = "" }: OtlpLog): CollectedLog {
  return { body: plainValue(body), severity: severityText, attributes: attributesOf(attributes), traceId, spanId };
}

function attributesOf(attributes: readonly Attribute[] = []): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainValue(value)]));
}

function plainValue({ stringValue, boolValue, intValue, doubleValue }: AnyValue): unknown {
  return stringValue ?? boolValue ?? doubleValue ?? (intValue === undefined ? undefined : Number(intValue));
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
