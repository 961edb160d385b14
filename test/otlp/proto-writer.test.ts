import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { ProtoWriter } from "../../src/otlp/index.ts";

describe("a message within another", () => {
  it.each([0, 1, 39, 40, 41, 127, 128, 16_383, 16_384, 2_097_152])(
    "has the shortest length there is, however long it was taken to be: %i bytes",
    (bytes) => {
      for (const lengthBytes of [1, 2, 3]) {
        const writer = new ProtoWriter(1);
        writer.varint(1, 7);
        const start = writer.start(2, lengthBytes);
        const inside = Buffer.alloc(bytes, 0xa5);
        writer.raw(inside);
        writer.finish(start, lengthBytes);
        writer.text(3, "behind");
        const reader = new BinaryReader(writer.take());
        expect([reader.tag()[0], reader.int32(), reader.tag()[0]]).toEqual([1, 7, 2]);
        const before = reader.pos;
        expect(Buffer.compare(reader.bytes(), inside)).toBe(0);
        expect(reader.pos - before - bytes).toBe(bytes < 128 ? 1 : bytes < 16_384 ? 2 : bytes < 2_097_152 ? 3 : 4);
        expect([reader.tag()[0], reader.string(), reader.pos]).toEqual([3, "behind", reader.len]);
      }
    },
  );
});
