import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createExportRequest, type OtlpSpan, type WrittenRecords, writeSpan } from "../../src/otlp/index.ts";
import { asRecord } from "./as-record.ts";
import { requestFields } from "./request-fields.ts";

const resource = { "service.name": "studio" };
const scope = { name: "retake", version: "1.2.3" };
const request = createExportRequest({ resource, scope });

function written(span: OtlpSpan): WrittenRecords {
  const bytes = asRecord((writer) => writeSpan(writer, span));
  return { bytes, ends: Uint32Array.of(bytes.length) };
}

/** What OpenTelemetry's own code writes for the same spans. */
function asTheLibraryWrites(spans: readonly OtlpSpan[]): Uint8Array {
  const owner = { attributes: resource };
  const time = (ms: number) => [Math.floor(ms / 1000), (ms % 1000) * 1e6];
  const bytes = ProtobufTraceSerializer.serializeRequest(
    spans.map((span) => {
      const context = (spanId: string) => ({ traceId: span.traceId, spanId, traceFlags: 1 });
      return {
        ...{ name: span.name, kind: span.kind, attributes: span.attributes, events: [], resource: owner },
        ...{ spanContext: () => context(span.spanId), instrumentationScope: scope },
        ...(span.parentSpanId && {
          parentSpanContext: { ...context(span.parentSpanId), isRemote: span.remoteParent },
        }),
        ...{ startTime: time(span.startMs), endTime: time(Math.max(span.startMs, span.endMs)) },
        links: (span.linkedSpanIds ?? []).map((id) => ({ context: context(id) })),
        status:
          span.error === undefined
            ? { code: SpanStatusCode.UNSET }
            : { code: SpanStatusCode.ERROR, message: span.error },
        ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
      };
    }) as never,
  );
  if (bytes === undefined) throw new Error("the library writes nothing");
  return bytes;
}

const id = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((given) => Buffer.from(given).toString("hex"));
const timeMs = fc.integer({ min: 1, max: 4e12 });
const span: fc.Arbitrary<OtlpSpan> = fc.record(
  {
    ...{ traceId: id(16), spanId: id(8), name: fc.string({ unit: "grapheme" }), startMs: timeMs, endMs: timeMs },
    kind: fc.constantFrom(SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT),
    attributes: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.maxSafeInteger()), { maxKeys: 6 }),
    parentSpanId: fc.oneof(fc.constant(""), id(8)),
    remoteParent: fc.boolean(),
    error: fc.string(),
    linkedSpanIds: fc.array(id(8), { maxLength: 2 }),
  },
  { requiredKeys: ["traceId", "spanId", "name", "kind", "startMs", "endMs", "attributes"] },
);

it("writes spans as OpenTelemetry's own code writes them", () => {
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 4 }), (spans) => {
      expect(requestFields(request(spans.map(written)))).toEqual(requestFields(asTheLibraryWrites(spans)));
    }),
  );
});
