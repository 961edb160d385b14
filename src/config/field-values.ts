import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { suggestion } from "../nearest-name.ts";

/** Well-known types like Duration are written as single values. */
export function isStructure(field: DescField): boolean {
  return field.message !== undefined && !field.message.typeName.startsWith("google.protobuf.");
}

/** Whether a field takes a value. An element of a list or a map comes wrapped into one. */
export function fits(field: DescField, json: JsonValue, registry?: Registry): boolean {
  try {
    fromJson(field.parent, { [field.name]: json }, registry && { registry });
    return true;
  } catch {
    return false;
  }
}

/** What a field takes, in words. */
export function expectation(field: DescField, json: JsonValue | undefined): string {
  if (field.enum !== undefined) {
    const names = field.enum.values.filter(({ number }) => number !== 0).map(({ name }) => name);
    const guess = typeof json === "string" ? suggestion(json, names).trim() : "";
    return `one of ${names.join(", ")}${guess && ` (${guess})`}`;
  }
  if (field.message !== undefined) {
    return field.message.typeName === "google.protobuf.Duration"
      ? 'a duration in seconds with its unit, like "30s" or "0.5s"'
      : `a ${field.message.typeName}`;
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return "text (in quotes where it looks like something else)";
    case ScalarType.BOOL:
      return "true or false";
    case ScalarType.BYTES:
      return "bytes in base64";
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return "a number";
    default:
      return "a whole number";
  }
}

/** What to say about a key that a message does not have. */
export function unknownKey(name: string, schema: DescMessage): string {
  const names = schema.fields.map((field) => field.name);
  const guess = suggestion(name, [...names, ...schema.fields.map(({ jsonName }) => jsonName)]);
  return `unknown key ${quote(name)}.${guess || ` The keys here are: ${names.join(", ")}`}`;
}

const longestQuote = 80;

/** A value in quotes, as much of it as anybody wants to read. */
export function quote(text: string): string {
  return JSON.stringify(text.length > longestQuote ? `${text.slice(0, longestQuote).toWellFormed()}…` : text);
}
