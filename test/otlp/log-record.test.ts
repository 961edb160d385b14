import { SeverityNumber } from "@opentelemetry/api";
import { ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createExportRequest, type OtlpLogRecord, type WrittenRecords, writeLogRecord } from "../../src/otlp/index.ts";
import { asRecord } from "./as-record.ts";
import { requestFields } from "./request-fields.ts";

const resource = { "service.name": "studio", "process.pid": 17 };
const scope = { name: "retake", version: "1.2.3" };
const request = createExportRequest({ resource, scope });

const numbers = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const;

function written(record: OtlpLogRecord): WrittenRecords {
  const bytes = asRecord((writer) => writeLogRecord(writer, record));
  return { bytes, ends: Uint32Array.of(bytes.length) };
}

/** What OpenTelemetry's own code writes for the same records. */
function asTheLibraryWrites(records: readonly OtlpLogRecord[]): Uint8Array {
  const owner = { attributes: resource, merge: () => owner, getRawAttributes: () => [] };
  const written = ProtobufLogsSerializer.serializeRequest(
    records.map(({ timeMs, severity, body, attributes, eventName, span }) => ({
      hrTime: [Math.floor(timeMs / 1000), (timeMs % 1000) * 1e6],
      hrTimeObserved: [Math.floor(timeMs / 1000), (timeMs % 1000) * 1e6],
      ...{ severityNumber: numbers[severity], severityText: severity.toUpperCase() },
      ...{ body, attributes, eventName, resource: owner, instrumentationScope: scope },
      ...(span !== undefined && { spanContext: { ...span, traceFlags: 1 } }),
      droppedAttributesCount: 0,
    })) as never,
  );
  if (written === undefined) throw new Error("the library writes nothing");
  return written;
}

const text = fc.oneof(fc.string({ maxLength: 60 }), fc.string({ unit: "binary", maxLength: 200 }));
const value = fc.oneof(
  text,
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.integer({ min: -300, max: 300 }),
  fc.double({ noNaN: true }).filter((number) => !Number.isInteger(number)),
  fc.array(text, { maxLength: 4 }),
);
const id = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes).toString("hex"));
const record: fc.Arbitrary<OtlpLogRecord> = fc.record(
  {
    timeMs: fc.integer({ min: 1, max: 4e12 }),
    severity: fc.constantFrom("debug", "info", "warn", "error"),
    body: text,
    attributes: fc.dictionary(text, value, { maxKeys: 12 }),
    eventName: fc.string({ minLength: 1 }),
    span: fc.record({ traceId: id(16), spanId: id(8) }),
  },
  { requiredKeys: ["timeMs", "severity", "body", "attributes"] },
);

describe("log records", () => {
  it("are written as OpenTelemetry's own code writes them", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (records) => {
        const own = request(records.map(written));
        expect(requestFields(own)).toEqual(requestFields(asTheLibraryWrites(records)));
      }),
    );
  });
});
