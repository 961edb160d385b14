import { describe, expect, it } from "vitest";
import { mapInOrder } from "../../../../examples/video/animatic/in-order.ts";
import { never } from "./support.ts";

/** Work that ends when the test says so. */
function gated() {
  const begun: number[] = [];
  const gates = new Map<number, PromiseWithResolvers<number>>();
  const gate = (item: number) => {
    const existing = gates.get(item) ?? Promise.withResolvers<number>();
    gates.set(item, existing);
    return existing;
  };
  const work = (item: number) => {
    begun.push(item);
    return gate(item).promise;
  };
  return { begun, gate, work };
}

describe("mapInOrder", () => {
  it("yields in order whatever ends first, and begins no more than the limit", async () => {
    const { begun, gate, work } = gated();
    const results = mapInOrder([1, 2, 3, 4], 2, never, work);
    const first = results.next();
    expect(begun).toEqual([1, 2]);
    gate(2).resolve(20);
    gate(1).resolve(10);
    expect((await first).value).toBe(10);
    const second = results.next();
    await Promise.resolve();
    expect(begun).toEqual([1, 2, 3]);
    expect((await second).value).toBe(20);
    gate(3).resolve(30);
    gate(4).resolve(40);
    const rest: number[] = [];
    for await (const result of results) rest.push(result);
    expect(rest).toEqual([30, 40]);
  });

  it("fails with the first failure in order, after what has begun has ended", async () => {
    const { begun, gate, work } = gated();
    const results = mapInOrder([1, 2, 3], 2, never, work);
    const first = results.next();
    let settled = false;
    const outcome = first
      .catch((error: unknown) => error)
      .finally(() => {
        settled = true;
      });
    gate(1).reject(new Error("one"));
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    expect(settled).toBe(false);
    gate(2).reject(new Error("two"));
    expect(await outcome).toEqual(new Error("one"));
    expect(begun).toEqual([1, 2]);
  });

  it("begins nothing after an abort, and throws its reason", async () => {
    const { begun, gate, work } = gated();
    const controller = new AbortController();
    const results = mapInOrder([1, 2, 3], 1, controller.signal, work);
    gate(1).resolve(10);
    expect((await results.next()).value).toBe(10);
    controller.abort(new Error("enough"));
    await expect(results.next()).rejects.toThrow("enough");
    expect(begun).toEqual([1]);
  });

  it("awaits what has begun when its consumer leaves", async () => {
    const { gate, work } = gated();
    const results = mapInOrder([1, 2, 3], 2, never, work);
    gate(1).resolve(10);
    await results.next();
    let left = false;
    const leaving = results.return().then(() => {
      left = true;
    });
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    expect(left).toBe(false);
    gate(2).resolve(20);
    await leaving;
  });
});
