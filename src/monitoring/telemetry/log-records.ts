import { type AnyValue, SeverityNumber, type SpanContext } from "@opentelemetry/api";
import { millisToHrTime } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { LogLine } from "./forwarded-log.ts";

export const severities = {
  debug: { severityNumber: SeverityNumber.DEBUG, severityText: "DEBUG" },
  info: { severityNumber: SeverityNumber.INFO, severityText: "INFO" },
  warn: { severityNumber: SeverityNumber.WARN, severityText: "WARN" },
  error: { severityNumber: SeverityNumber.ERROR, severityText: "ERROR" },
} as const;

/** A line of the log as OpenTelemetry has it. */
export function logRecord(
  { level, fields, message, timeMs }: LogLine,
  {
    resource,
    version,
    redact,
  }: { readonly resource: Resource; readonly version: string; readonly redact: (line: string) => string },
): ReadableLogRecord {
  const time = millisToHrTime(timeMs);
  const given = fields as Readonly<Record<string, unknown>>;
  const spanContext = spanContextOf(given);
  // As a line of JSON, because the log itself is redacted as one.
  const { message: body, ...attributes } = JSON.parse(redact(JSON.stringify({ ...attributesOf(given), message })));
  return {
    ...{ hrTime: time, hrTimeObserved: time, body, resource, droppedAttributesCount: 0 },
    ...severities[level],
    ...(spanContext && { spanContext }),
    instrumentationScope: scopeOf(version),
    attributes: attributes as ReadableLogRecord["attributes"],
  };
}

/** Records of one scope are sent together if it is the same object. */
const scopes = new Map<string, { readonly name: string; readonly version: string }>();

export function scopeOf(version: string) {
  let scope = scopes.get(version);
  if (scope === undefined) {
    scope = { name: "retake", version };
    scopes.set(version, scope);
  }
  return scope;
}

function spanContextOf({ trace_id: traceId, span_id: spanId }: Readonly<Record<string, unknown>>) {
  return typeof traceId === "string" && typeof spanId === "string"
    ? ({ traceId, spanId, traceFlags: 1 } satisfies SpanContext)
    : undefined;
}

function attributesOf(fields: Readonly<Record<string, unknown>>): Record<string, AnyValue> {
  const attributes: Record<string, AnyValue> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === "trace_id" || name === "span_id" || value === undefined) continue;
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

function plain(value: unknown): AnyValue {
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
