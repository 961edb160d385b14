import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { abortedAnswer, heldAnswer } from "../../../src/interceptors/run/disturbed-answer.ts";
import { createError, type Disturb } from "../../../src/runs/index.ts";

async function* messages(count: number, onEnd?: () => void) {
  try {
    for (let number = 1; number <= count; number++) yield number;
  } finally {
    onEnd?.();
  }
}

/** What comes of a stream of so many messages. */
async function taken(disturb: Disturb, count: number) {
  const seen: unknown[] = [];
  try {
    for await (const message of disturb.stream(messages(count))) seen.push(message);
    seen.push("end");
  } catch (error) {
    seen.push((error as Error).message);
  }
  return seen;
}

describe("an answer that breaks off", () => {
  const error = (after: number) => `[unavailable] drill d: the answer broke off after ${after} messages`;

  it.each([
    [0, [error(0)]],
    [2, [1, 2, error(2)]],
    [3, [1, 2, 3, error(3)]],
    [9, [1, 2, 3, error(9)]],
  ])("does so after %i messages, or at its end", async (after, expected) => {
    expect(await taken(abortedAnswer("d", after), 3)).toEqual(expected);
  });

  it("ends what it comes from", async () => {
    let ended = false;
    const iterator = abortedAnswer("d", 1)
      .stream(messages(5, () => (ended = true)))
      [Symbol.asyncIterator]();
    await iterator.next();
    await expect(iterator.next()).rejects.toThrow("broke off");
    expect(ended).toBe(true);
  });

  it("loses the only message of a unary one, after it has come", async () => {
    let came = false;
    const answer = Promise.resolve().then(() => (came = true));
    await expect(abortedAnswer("d", 7).unary(answer)).rejects.toThrow("broke off");
    expect(came).toBe(true);
  });
});

describe("an answer that is held", () => {
  function held(after: number) {
    const [over, stop] = [new AbortController(), new AbortController()];
    const turn = { signal: stop.signal, abortReason: undefined as ReturnType<typeof createError> | undefined };
    return { over, stop, turn, disturb: heldAnswer(after, over.signal, turn) };
  }

  it("goes on when the drill is over", async () => {
    const { over, disturb } = held(1);
    const iterator = disturb.stream(messages(2))[Symbol.asyncIterator]();
    expect(await iterator.next()).toMatchObject({ value: 1 });
    let isNext = false;
    const next = iterator.next().finally(() => (isNext = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isNext).toBe(false);
    over.abort();
    expect(await next).toMatchObject({ value: 2 });
    expect(await iterator.next()).toMatchObject({ done: true });
    expect(await taken(disturb, 3)).toEqual([1, 2, 3, "end"]);
  });

  it("ends with what the attempt must stop for", async () => {
    for (const answerOf of [(disturb: Disturb) => taken(disturb, 3), (disturb: Disturb) => disturb.unary("answer")]) {
      const { stop, turn, disturb } = held(0);
      const answer = answerOf(disturb);
      turn.abortReason = createError(Code.Unavailable, "STALLED", "silent");
      stop.abort(turn.abortReason);
      expect(await answer.catch((error: Error) => [error.message])).toEqual(["[unavailable] silent"]);
    }
  });
});
