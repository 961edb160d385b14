import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RunState } from "../../../../gen/retake/v1/run_pb.js";
import { runStream, type StreamAppend } from "../../../../src/runs/ports/journal.ts";
import { OrderWriter, readOrders } from "../../../../src/runs/sqlite/thread/orders.ts";

type Order =
  | { readonly kind: "append"; readonly appends: readonly StreamAppend[]; readonly impatient: boolean }
  | { readonly kind: "put"; readonly runId: string; readonly bytes: Uint8Array };

const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 40 }), fc.constantFrom("", "漢".repeat(3_000)));
const bytes = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(100_000).fill(9)));
const append: fc.Arbitrary<StreamAppend> = fc.oneof(
  fc.record(
    {
      stream: text,
      expectedSequence: fc.maxSafeNat(),
      records: fc.array(bytes, { maxLength: 4 }),
      state: fc.constantFrom(RunState.UNSPECIFIED, RunState.QUEUED, RunState.EXPIRED),
      retireAtMs: fc.oneof(fc.double({ noNaN: true, min: 0 }), fc.constant(Number.POSITIVE_INFINITY)),
    },
    { requiredKeys: ["stream", "expectedSequence", "records"] },
  ),
  fc
    .record(
      {
        runId: text,
        workflow: text,
        owner: fc.record({ tenant: text, subject: text }),
        createTimeMs: fc.maxSafeNat(),
        key: text,
        parentRunId: text,
      },
      { requiredKeys: ["runId", "workflow", "owner", "createTimeMs"] },
    )
    .map((create) => ({ stream: runStream(create.runId), expectedSequence: 0, records: [Uint8Array.of(1)], create })),
);
const order: fc.Arbitrary<Order> = fc.oneof(
  fc.record({
    kind: fc.constant("append" as const),
    appends: fc.array(append, { minLength: 1, maxLength: 3 }),
    impatient: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("put" as const), runId: text, bytes }),
);

function write(writer: OrderWriter, orders: readonly Order[]): void {
  for (const one of orders) {
    if (one.kind === "append") {
      writer.append(one.appends, one.impatient);
    } else {
      writer.put(one.runId, one.bytes);
    }
  }
}

function read(block: Uint8Array, count: number): Order[] {
  const orders: Order[] = [];
  readOrders(block, count, {
    append: (appends, impatient) => orders.push({ kind: "append", appends, impatient }),
    put: (runId, of) => orders.push({ kind: "put", runId, bytes: of }),
  });
  return orders;
}

/** Views of a block and arrays of their own are the same bytes. */
function plain(orders: readonly Order[]): unknown {
  return JSON.parse(
    JSON.stringify(orders, (_, value) => {
      if (value instanceof Uint8Array || value?.type === "Buffer") {
        return Buffer.from(value.data ?? value).toString("base64");
      }
      return value === Number.POSITIVE_INFINITY ? "for ever" : value;
    }),
  );
}

describe("OrderWriter and readOrders", () => {
  it("give all orders back as they were, in order, block after block", () => {
    const writer = new OrderWriter();
    fc.assert(
      fc.property(fc.array(order, { maxLength: 12 }), (orders) => {
        write(writer, orders);
        expect(writer.count).toBe(orders.length);
        const read1 = read(writer.take(), orders.length);
        expect(plain(read1)).toEqual(plain(orders));
        expect(writer.count).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it("leave nothing of an order that cannot be written", () => {
    const writer = new OrderWriter();
    writer.put("before", Uint8Array.of(1));
    const wrong = { stream: "wrong", expectedSequence: 0, records: [Uint8Array.of(1), {} as Uint8Array] };
    expect(() => writer.append([wrong], false)).toThrow(TypeError);
    writer.put("after", Uint8Array.of(2));
    expect(writer.count).toBe(2);
    expect(read(writer.take(), 2)).toMatchObject([{ runId: "before" }, { runId: "after" }]);
  });
});
