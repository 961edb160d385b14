import { DiagLogLevel, diag } from "@opentelemetry/api";
import { type IMetricReader, type MetricProducer, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { Clock, RandomSource } from "../../clock.ts";
import type { Instruments } from "../../instruments.ts";
import { type OtlpAttributes, writeSpan } from "../../otlp/index.ts";
import type { Journal, Logger } from "../../runs/index.ts";
import { BatchSender } from "./batch-sender.ts";
import { ExportMarks } from "./export-marks.ts";
import type { ForwardedAudit } from "./forwarded-audit.ts";
import type { ForwardedLog } from "./forwarded-log.ts";
import { writeLine } from "./log-records.ts";
import { metricExporter } from "./metric-exporter.ts";
import type { OtelEnvironment } from "./otel-environment.ts";
import { ownResource } from "./resource.ts";
import { RunSpans } from "./run-spans.ts";
import { SpanBudget } from "./span-budget.ts";
import { SpanMetrics } from "./span-metrics.ts";
import { Tracing } from "./tracing.ts";
import { UntoldRuns } from "./untold-runs.ts";
import { writtenExporter } from "./written-exporter.ts";

const apiKey = Symbol.for("opentelemetry.js.api.1");

/** Who is told of trouble in this process, by all copies of OpenTelemetry's API. */
function whoIsTold(): unknown {
  return (globalThis as { [apiKey]?: { readonly diag?: unknown } })[apiKey]?.diag;
}

let told: unknown;

/** Each is told once, and no more of them: some have numbers in them. */
const mostProblems = 100;

/**
 * Lets OpenTelemetry's exporters tell what they cannot follow, of headers and certificates, unless the program around us has
 * them do. The newest server's log is told, until what is returned is called.
 */
function tellTrouble(log: Logger): () => void {
  const before = whoIsTold();
  if (before !== undefined && before !== told) return () => undefined;
  const known = new Set<string>();
  const tell = (message: string): void => {
    // What is sent each minute fails each minute.
    if (known.has(message) || known.size >= mostProblems) return;
    known.add(message);
    log.warn({ problem: message }, "OpenTelemetry tells of a problem");
  };
  const nothing = (): void => undefined;
  const logger = { error: tell, warn: tell, info: nothing, debug: nothing, verbose: nothing };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const own = whoIsTold();
  told = own;
  return () => {
    if (whoIsTold() === own) diag.disable();
  };
}

export interface ExportingOptions {
  readonly environment: OtelEnvironment;
  readonly version: string;
  /** More of them are left out, by whole traces. A sudden rush may have as many. */
  readonly spansPerSecond: number;
  /** Absent where nothing is measured. */
  readonly instruments: Instruments | undefined;
  /** Where it is kept how far spans have been taken. Nothing has happened to runs yet in this process. */
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Where trouble with exporting is told, and not exported. */
  readonly log: Logger;
  /** What is exported of the log. */
  readonly forwarded: ForwardedLog;
  /** The audit log, all of it. */
  readonly audit: ForwardedAudit;
  /** Takes out of texts, and of lines of JSON, what must not be in them. */
  readonly redactor: () => { text(text: string): string; jsonLine(line: string): string };
}

/** What is sent to an OpenTelemetry Collector, or whatever else speaks OTLP. */
export class Exporting {
  /** Absent where traces go nowhere: then no spans are made. */
  readonly tracing: { readonly spans: Tracing; readonly runs: RunSpans } | undefined;
  readonly #readers: readonly ((producer: MetricProducer, cardinalityLimit: number) => Promise<IMetricReader>)[];
  readonly #senders: readonly Pick<BatchSender, "close">[];
  /** Absent where traces go nowhere. */
  readonly #marks: ExportMarks | undefined;
  readonly #untold: UntoldRuns | undefined;
  readonly #quiet: () => void;

  private constructor(
    tracing: Exporting["tracing"],
    readers: readonly ((producer: MetricProducer, cardinalityLimit: number) => Promise<IMetricReader>)[],
    senders: readonly Pick<BatchSender, "close">[],
    marks: ExportMarks | undefined,
    untold: UntoldRuns | undefined,
    quiet: () => void,
  ) {
    this.tracing = tracing;
    this.#readers = readers;
    this.#senders = senders;
    this.#marks = marks;
    this.#untold = untold;
    this.#quiet = quiet;
  }

  static async start(options: ExportingOptions): Promise<Exporting> {
    const { environment, version, spansPerSecond, instruments, journal, clock, random, log } = options;
    const { forwarded, audit, redactor } = options;
    const quiet = tellTrouble(log);
    const resource = ownResource(version);
    // Texts and numbers, all of them: what the environment says is text.
    const origin = { resource: resource.attributes as OtlpAttributes, scope: { name: "retake", version } };
    const senders: Pick<BatchSender, "close">[] = [];
    const lost = instruments?.counter({
      name: "retake.export.lost",
      unit: "{item}",
      description: "Spans and log lines that no receiver has taken, by why.",
      attributes: ["signal", "reason"],
    });
    const onLost = (signal: string) => (reason: string, count: number) => {
      if (lost !== undefined) lost.of(signal, reason).value += count;
    };
    let tracing: Exporting["tracing"];
    let marks: ExportMarks | undefined;
    let untold: UntoldRuns | undefined;
    if (environment.traces !== undefined) {
      const exporter = await writtenExporter("traces", environment.traces, origin);
      const sender = new BatchSender({
        ...{ what: "spans", exporter, clock, log, onLost: onLost("traces") },
        onSending: () => marks?.sending(),
        onSettled: () => marks?.sent(),
      });
      senders.push(sender);
      marks = new ExportMarks({ journal, clock, log }, sender);
      const mark = await marks.open();
      const service = String(resource.attributes["service.name"] ?? "");
      const metrics = instruments && new SpanMetrics(instruments, service);
      const leftOut = instruments?.counter({
        ...{ name: "retake.traces.left_out", unit: "{trace}", attributes: [] },
        description: "Traces that were not kept because there were more spans than are exported.",
      });
      const leftOutCell = leftOut?.of();
      let told = false;
      const spans = new Tracing({
        ...{ sampling: environment.sampling, clock, random },
        budget: new SpanBudget({ clock, perSecond: spansPerSecond, burst: spansPerSecond }),
        onLeftOut: () => {
          if (leftOutCell !== undefined) leftOutCell.value++;
          if (told) return;
          told = true;
          const advice =
            "telemetry.spans_per_second allows more, and OTEL_TRACES_SAMPLER=parentbased_traceidratio keeps a share of all";
          log.warn({ spansPerSecond }, `traces are left out, whole: there are more spans than are exported; ${advice}`);
        },
        redact: (text) => redactor().text(text),
        onEnd: (span) => {
          if (span.again !== true) metrics?.count(span);
          sender.write((writer) => writeSpan(writer, span));
        },
      });
      const runs = new RunSpans(spans);
      tracing = { spans, runs };
      if (mark !== undefined) {
        runs.toldMs = mark.toldMs;
        untold = await UntoldRuns.find({ journal, mark, observer: runs, clock, log });
      }
    }
    if (environment.logs !== undefined) {
      const exporter = await writtenExporter("logs", environment.logs, origin);
      const sender = new BatchSender({
        ...{ what: "log lines", exporter, clock, log, onLost: onLost("logs") },
      });
      senders.push(sender);
      const redact = (line: string): string => redactor().jsonLine(line);
      forwarded.forward((line) => sender.write((writer) => writeLine(writer, line, redact)));
      audit.forward((records) => sender.add(records));
    }
    const { metrics: protocol, metricIntervalMs } = environment;
    const readers =
      protocol === undefined
        ? []
        : [
            async (producer: MetricProducer, cardinalityLimit: number) =>
              new PeriodicExportingMetricReader({
                exporter: await metricExporter(protocol, { hasRunSpans: tracing !== undefined, clock }),
                exportIntervalMillis: metricIntervalMs,
                exportTimeoutMillis: Math.min(metricIntervalMs, 30_000),
                metricProducers: [producer],
                cardinalityLimits: { default: cardinalityLimit },
              }),
          ];
    return new Exporting(tracing, readers, senders, marks, untold, quiet);
  }

  /** Those who export metrics, each with what is measured without the SDK. */
  metricReaders(producer: MetricProducer, cardinalityLimit: number): Promise<readonly IMetricReader[]> {
    return Promise.all(this.#readers.map((make) => make(producer, cardinalityLimit)));
  }

  /** Runs that were open have been told of again. Begins to do so with those that had ended. */
  retell(): void {
    const marks = this.#marks;
    if (this.#untold === undefined) marks?.begin();
    else void this.#untold.tell().then((whole) => whole && marks?.begin());
  }

  /** Sends what is left. */
  async close(): Promise<void> {
    await this.#untold?.close();
    await Promise.all(this.#senders.map((sender) => sender.close()));
    await this.#marks?.close();
    this.#quiet();
  }
}
