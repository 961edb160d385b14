import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

export type Field = readonly [number: number, value: string | readonly Field[]];

/**
 * The fields of an Export request down to those of its spans or log records, and of links and status within: but for
 * numbers of 0, and for messages without anything, which say what their absence says.
 */
export function requestFields(bytes: Uint8Array, level = 0): readonly Field[] {
  const fields: Field[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      const value = reader.bytes();
      if (isNested(level, number)) {
        const within = requestFields(value, level + 1);
        if (within.length > 0) fields.push([number, within]);
      } else fields.push([number, Buffer.from(value).toString("hex")]);
    } else {
      const value = Buffer.from(reader.skip(type, number)).toString("hex");
      if (type !== WireType.Varint || value !== "00") fields.push([number, value]);
    }
  }
  return fields;
}

/** A request's resources; who they are, and their scopes; the spans or records of those; links, and status. */
function isNested(level: number, number: number): boolean {
  if (level === 0) return number === 1;
  if (level === 1) return number <= 2;
  if (level === 2) return number === 2;
  return level === 3 && (number === 13 || number === 15);
}
