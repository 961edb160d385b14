import { ProtoWriter } from "./proto-writer.ts";

/** What an attribute may be. Those that are undefined are left out. */
export type AttributeValue = string | number | boolean | null | undefined | readonly AttributeValue[];

export type OtlpAttributes = Readonly<Record<string, AttributeValue>>;

/** Each as a KeyValue of that field. */
export function writeAttributes(writer: ProtoWriter, field: number, attributes: OtlpAttributes): void {
  for (const name in attributes) {
    const value = attributes[name];
    if (value !== undefined) writeAttribute(writer, field, name, value);
  }
}

export function writeAttribute(writer: ProtoWriter, field: number, name: string, value: AttributeValue): void {
  const start = writer.start(field);
  writer.text(1, name);
  writeValue(writer, 2, value);
  writer.finish(start);
}

/** The name of an attribute, written once for `writeNamed`. */
export function writeName(name: string): Uint8Array {
  const writer = new ProtoWriter(name.length * 3 + 20);
  writer.text(1, name);
  return writer.take();
}

/** An attribute whose name is written already. */
export function writeNamed(writer: ProtoWriter, field: number, name: Uint8Array, value: AttributeValue): void {
  const start = writer.start(field);
  writer.raw(name);
  writeValue(writer, 2, value);
  writer.finish(start);
}

/** An AnyValue. */
export function writeValue(writer: ProtoWriter, field: number, value: AttributeValue): void {
  const start = writer.start(field);
  if (typeof value === "string") writer.text(1, value);
  else if (typeof value === "boolean") writer.varint(2, value ? 1 : 0);
  else if (Array.isArray(value)) writeValues(writer, value);
  else if (typeof value === "number") {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.varint(3, value);
    else writer.double(4, value);
  }
  writer.finish(start);
}

function writeValues(writer: ProtoWriter, values: readonly AttributeValue[]): void {
  const start = writer.start(5);
  for (const value of values) writeValue(writer, 1, value);
  writer.finish(start);
}
