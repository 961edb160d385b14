import { type AttributeValue, type ProtoWriter, writeLogRecord } from "../../otlp/index.ts";
import type { LogLine } from "./forwarded-log.ts";

/** A line of the log as it is exported. */
export function writeLine(
  writer: ProtoWriter,
  { level, fields, message, timeMs }: LogLine,
  redact: (line: string) => string,
): void {
  const given = fields as Readonly<Record<string, unknown>>;
  const span = spanOf(given);
  const { event } = given;
  // As a line of JSON, because the log itself is redacted as one.
  const { message: body, ...attributes } = JSON.parse(redact(JSON.stringify({ ...attributesOf(given), message })));
  writeLogRecord(writer, {
    timeMs,
    severity: level,
    body,
    attributes,
    ...(span && { span }),
    ...(typeof event === "string" && { eventName: event }),
  });
}

function spanOf({ trace_id: traceId, span_id: spanId }: Readonly<Record<string, unknown>>) {
  return isId(traceId, 32) && isId(spanId, 16) ? { traceId, spanId } : undefined;
}

function isId(value: unknown, digits: number): value is string {
  return typeof value === "string" && value.length === digits && /^[0-9a-f]+$/.test(value);
}

function attributesOf(fields: Readonly<Record<string, unknown>>): Record<string, AttributeValue> {
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === "trace_id" || name === "span_id" || name === "event" || value === undefined) continue;
    if (value instanceof Error) {
      attributes["exception.type"] = value.name;
      attributes["exception.message"] = value.message;
      if (value.stack !== undefined) attributes["exception.stacktrace"] = value.stack;
    } else if (name === "run_id") {
      attributes["retake.run.id"] = String(value);
    } else {
      attributes[name] = plain(value);
    }
  }
  return attributes;
}

function plain(value: unknown): AttributeValue {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value;
    default:
      try {
        return JSON.stringify(value) ?? String(value);
      } catch {
        return String(value);
      }
  }
}
