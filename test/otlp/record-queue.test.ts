import fc from "fast-check";
import { expect, it } from "vitest";
import { RecordQueue, type WrittenRecords } from "../../src/otlp/index.ts";
import { asRecord, insideOf } from "./as-record.ts";

function join(records: readonly Uint8Array[]): WrittenRecords {
  let end = 0;
  const ends = records.map(({ length }) => {
    end += length;
    return end;
  });
  return { bytes: new Uint8Array(Buffer.concat(records)), ends: Uint32Array.from(ends) };
}

function split(batch: readonly WrittenRecords[]): string[] {
  return batch.flatMap(({ bytes, ends }) => {
    expect(ends.at(-1)).toBe(bytes.length);
    return Array.from(ends, (end, index) => Buffer.from(bytes.subarray(ends[index - 1] ?? 0, end)).toString("hex"));
  });
}

const record = fc.uint8Array({ maxLength: 40 });
const order = fc.oneof(
  fc.record({ kind: fc.constant("write" as const), record }),
  fc.record({ kind: fc.constant("fail" as const), record }),
  fc.record({ kind: fc.constant("add" as const), records: fc.array(record, { maxLength: 5 }) }),
  fc.record({ kind: fc.constant("first" as const), most: fc.nat(8), mostBytes: fc.nat(100) }),
  fc.record({ kind: fc.constant("drop" as const), count: fc.nat(6) }),
);

it("keeps records as a list would", () => {
  fc.assert(
    fc.property(fc.array(order, { maxLength: 60 }), (orders) => {
      const queue = new RecordQueue();
      let list: Uint8Array[] = [];
      for (const each of orders) {
        switch (each.kind) {
          case "write":
            queue.write((writer) => writer.raw(each.record));
            list.push(asRecord((writer) => writer.raw(each.record)));
            break;
          case "fail":
            expect(() =>
              queue.write((writer) => {
                writer.raw(each.record);
                throw new Error("a bug");
              }),
            ).toThrow("a bug");
            break;
          case "add":
            queue.add(join(each.records));
            list.push(...each.records);
            break;
          case "first": {
            let bytes = 0;
            const wanted = list.slice(0, each.most).filter(({ length }, index) => {
              bytes += length;
              return bytes <= each.mostBytes || index === 0;
            });
            expect(split(queue.first(each.most, each.mostBytes))).toEqual(
              wanted.map((one) => Buffer.from(one).toString("hex")),
            );
            break;
          }
          case "drop":
            queue.drop(each.count);
            list = list.slice(each.count);
        }
        expect(queue.length).toBe(list.length);
      }
    }),
  );
});

it("begins another piece once one is large, and writes to none that was handed out", () => {
  const queue = new RecordQueue();
  const text = new Uint8Array(100_000).fill(1);
  for (let count = 0; count < 7; count++) queue.write((writer) => writer.raw(text));
  expect(queue.first(10, Number.POSITIVE_INFINITY).map(({ ends }) => ends.length)).toEqual([3, 3, 1]);
  const [first] = queue.first(1, 1);
  queue.write((writer) => writer.raw(new Uint8Array(100_000).fill(2)));
  expect(Buffer.compare(insideOf(first?.bytes ?? Buffer.alloc(0)), text)).toBe(0);
  queue.drop(6);
  expect(queue.first(10, Number.POSITIVE_INFINITY).map(({ bytes }) => insideOf(bytes)[0])).toEqual([1, 2]);
});
