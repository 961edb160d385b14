import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { hrTimeToMilliseconds } from "@opentelemetry/core";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { HistogramFamily, Instruments, NumberFamily } from "../../instruments.ts";

/** As the span metrics of OpenTelemetry's Collector have them, in seconds. */
const bounds: readonly number[] = [
  0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1, 1.4, 2, 5, 10, 15, 60, 300, 3_600,
];

/** What of a span's own attributes its series have: those with few values. */
const kept = ["retake.workflow", "retake.run.state", "retake.failure.category", "retake.endpoint"] as const;

/** Counts spans that have ended, and how long they took. */
export class SpanMetrics {
  readonly #calls: NumberFamily;
  readonly #duration: HistogramFamily;
  readonly #service: string;

  constructor(instruments: Instruments, service: string) {
    const attributes = ["service.name", "span.name", "span.kind", "status.code", ...kept];
    this.#service = service;
    this.#calls = instruments.counter({
      ...{ name: "retake.spans.calls", unit: "{span}", attributes },
      description: "Spans that have ended, of traces that are kept.",
    });
    this.#duration = instruments.histogram(
      { name: "retake.spans.duration", unit: "s", attributes, description: "How long they took." },
      bounds,
    );
  }

  count(span: ReadableSpan): void {
    const values = [
      this.#service,
      // Names of steps are up to handlers, and may be as many as there are frames in a film.
      span.name.startsWith("step ") ? "step" : span.name,
      SpanKind[span.kind],
      SpanStatusCode[span.status.code],
      ...kept.map((name) => String(span.attributes[name] ?? "")),
    ];
    const runId = String(span.attributes["retake.run.id"] ?? "");
    const endMs = hrTimeToMilliseconds(span.endTime);
    this.#calls.of(...values).value++;
    const seconds = hrTimeToMilliseconds(span.duration) / 1000;
    this.#duration.of(...values).record(seconds, endMs, span.spanContext().traceId, runId);
  }
}
