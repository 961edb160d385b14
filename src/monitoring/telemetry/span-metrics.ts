import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { HistogramCell, HistogramFamily, Instruments, NumberCell, NumberFamily } from "../../instruments.ts";
import type { OtlpAttributes, OtlpSpan } from "../../otlp/index.ts";

/** As the span metrics of OpenTelemetry's Collector have them, in seconds. */
const bounds: readonly number[] = [
  0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1, 1.4, 2, 5, 10, 15, 60, 300, 3_600,
];

/** What of a span's own attributes its series have: those with few values. */
const kept = ["retake.workflow", "retake.run.state", "retake.failure.category", "retake.endpoint"] as const;

/** Series that are found at once. */
const mostFound = 1_000;

/** Counts spans that have ended, and how long they took. */
export class SpanMetrics {
  readonly #calls: NumberFamily;
  readonly #duration: HistogramFamily;
  readonly #service: string;
  /** Those of the spans that there were lately. */
  readonly #cells = new Map<string, Cells>();

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

  count({ name, kind, error, attributes, startMs, endMs, traceId, spanId }: OtlpSpan): void {
    const status = error === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR;
    let key = `${kind} ${status} ${name}`;
    for (const attribute of kept) key += `\u0000${attributes[attribute] ?? ""}`;
    const cells = this.#cells.get(key) ?? this.#find(key, name, kind, status, attributes);
    cells.calls.value++;
    const seconds = Math.max(0, endMs - startMs) / 1000;
    cells.duration.record(seconds, endMs, traceId, String(attributes["retake.run.id"] ?? ""), spanId);
  }

  #find(key: string, name: string, kind: SpanKind, status: SpanStatusCode, attributes: OtlpAttributes): Cells {
    const values = [
      this.#service,
      // Names of steps are up to handlers, and may be as many as there are frames in a film.
      name.startsWith("step ") ? "step" : name,
      SpanKind[kind],
      SpanStatusCode[status],
      ...kept.map((attribute) => String(attributes[attribute] ?? "")),
    ];
    const cells = { calls: this.#calls.of(...values), duration: this.#duration.of(...values) };
    if (this.#cells.size >= mostFound) this.#cells.clear();
    this.#cells.set(key, cells);
    return cells;
  }
}

interface Cells {
  readonly calls: NumberCell;
  readonly duration: HistogramCell;
}
