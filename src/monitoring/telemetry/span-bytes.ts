import type { AnyValue } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";

/** Ids, times, and what is around them. */
const itemBytes = 120;
const attributeBytes = 12;

/** About how many bytes a span is on its way. */
export function spanBytes({ name, status, attributes }: ReadableSpan): number {
  return itemBytes + textBytes(name) + textBytes(status.message) + attributesBytes(attributes);
}

function attributesBytes(attributes: Readonly<Record<string, AnyValue | undefined>>): number {
  let bytes = 0;
  for (const name in attributes) bytes += attributeBytes + name.length + textBytes(attributes[name]);
  return bytes;
}

function textBytes(value: AnyValue | undefined): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  return typeof value === "object" && value !== null ? Buffer.byteLength(JSON.stringify(value)) : 0;
}
