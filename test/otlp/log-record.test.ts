import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { SeverityNumber } from "@opentelemetry/api";
import { ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLogsRequest, type OtlpLogRecord, ProtoWriter, writeLogRecord } from "../../src/otlp/index.ts";

const resource = { "service.name": "studio", "process.pid": 17 };
const scope = { name: "retake", version: "1.2.3" };
const request = createLogsRequest({ resource, scope });

const numbers = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
} as const;

function written(record: OtlpLogRecord): Uint8Array {
  // Too small, so that it grows.
  const writer = new ProtoWriter(1);
  writeLogRecord(writer, record);
  return writer.take();
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

type Field = readonly [number: number, value: string | Field[]];

/** The fields of a request down to those of its records, but for counts of 0: they say what their absence says. */
function fieldsOf(bytes: Uint8Array, levels = 3): Field[] {
  const fields: Field[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      const value = reader.bytes();
      // A request's resources; who they are, and their scopes; and the records of those.
      const isNested = levels === 2 ? number <= 2 : levels > 0 && number === (levels === 3 ? 1 : 2);
      fields.push([number, isNested ? fieldsOf(value, levels - 1) : Buffer.from(value).toString("hex")]);
    } else {
      const value = reader.skip(type, number);
      if (type !== WireType.Varint || value[0] !== 0) fields.push([number, Buffer.from(value).toString("hex")]);
    }
  }
  return fields;
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
        expect(fieldsOf(own)).toEqual(fieldsOf(asTheLibraryWrites(records)));
      }),
    );
  });
});
