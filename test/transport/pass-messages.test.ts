import { describe, expect, test } from "vitest";
import { passMessages, same } from "../../src/transport/pass-messages.ts";

/** A stream of numbers that tells what is done with it. */
function source(numbers: readonly number[], error?: unknown) {
  const told: string[] = [];
  async function* messages(): AsyncGenerator<number, void, undefined> {
    try {
      yield* numbers;
      if (error !== undefined) throw error;
    } finally {
      told.push("closed");
    }
  }
  const passage = {
    map: same<number>,
    ended: () => told.push("ended"),
    failed: (thrown: unknown) => {
      told.push("failed");
      return new Error(`instead of ${String(thrown)}`);
    },
    left: () => told.push("left"),
  };
  return { told, messages: messages(), passage };
}

describe("messages that are passed on", () => {
  test("are those of the stream, and its end is told once", async () => {
    const { told, messages, passage } = source([1, 2]);
    const passed = passMessages(messages, { ...passage, map: (number: number) => number * 10 });
    const numbers: number[] = [];
    for await (const number of passed) numbers.push(number);
    expect(numbers).toEqual([10, 20]);
    expect(await passed.next()).toEqual({ done: true, value: undefined });
    await passed.return?.();
    expect(told).toEqual(["closed", "ended"]);
  });

  test("end with what an error becomes, and are over then", async () => {
    const { told, messages, passage } = source([1], "the first");
    const passed = passMessages(messages, passage);
    expect(await passed.next()).toEqual({ done: false, value: 1 });
    await expect(passed.next()).rejects.toThrow("instead of the first");
    expect(await passed.next()).toEqual({ done: true, value: undefined });
    expect(told).toEqual(["closed", "failed"]);
  });

  test("end with what one of them cannot be made into, and the stream is closed", async () => {
    const { told, messages, passage } = source([1, 2]);
    const passed = passMessages(messages, {
      ...passage,
      map: (): number => {
        throw "a bad one";
      },
    });
    await expect(passed.next()).rejects.toThrow("instead of a bad one");
    await Promise.resolve();
    expect(told.sort()).toEqual(["closed", "failed"]);
    expect(await passed.next()).toEqual({ done: true, value: undefined });
  });

  test("are left before their end, and the stream is closed", async () => {
    const { told, messages, passage } = source([1, 2]);
    for await (const number of passMessages(messages, passage)) {
      expect(number).toBe(1);
      break;
    }
    expect(told).toEqual(["left", "closed"]);
  });

  test("of a stream that throws instead of rejecting fail like others", async () => {
    const { told, passage } = source([]);
    const broken: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next() {
          throw "no promise";
        },
      }),
    };
    await expect(passMessages(broken, passage).next()).rejects.toThrow("instead of no promise");
    expect(told).toEqual(["failed"]);
  });

  test("fail as they are where nobody asks for more", async () => {
    const { messages } = source([], new TypeError("as it is"));
    await expect(passMessages(messages, { map: same }).next()).rejects.toThrow(new TypeError("as it is"));
  });
});
