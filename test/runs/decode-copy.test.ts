import { toBinary } from "@bufbuild/protobuf";
import { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { decodeCopy } from "../../src/runs/decode-copy.ts";

it.each([0, 1, 50, 100_000])("a message of %d bytes is decoded, and what it refers to is its own", (size) => {
  const value = new Uint8Array(size).fill(7);
  const bytes = toBinary(BytesValueSchema, { $typeName: "google.protobuf.BytesValue", value });
  const before = bytes.slice();
  const message = decodeCopy(BytesValueSchema, bytes);
  expect(message.value).toEqual(value);
  expect(message.value.constructor).toBe(Uint8Array);
  message.value.fill(9);
  expect(bytes).toEqual(before);
});
