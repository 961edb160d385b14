import { BinaryReader } from "@bufbuild/protobuf/wire";
import { finishRecord, ProtoWriter, startRecord } from "../../src/otlp/index.ts";

/** A record as it is in what it is exported in, from what is in the record. */
export function asRecord(write: (writer: ProtoWriter) => void): Uint8Array<ArrayBuffer> {
  // Too small, so that it grows.
  const writer = new ProtoWriter(1);
  const start = startRecord(writer);
  write(writer);
  finishRecord(writer, start);
  return writer.take();
}

/** What is in a record that is written. */
export function insideOf(record: Uint8Array): Uint8Array {
  const reader = new BinaryReader(record);
  const [field] = reader.tag();
  if (field !== 2) throw new Error(`a record is field 2 of what it is in, and not ${field}`);
  const inside = reader.bytes();
  if (reader.pos !== record.length) throw new Error("there is something behind the record");
  return inside;
}
