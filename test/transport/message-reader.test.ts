import { Duplex, Readable } from "node:stream";
import { expect, test } from "vitest";
import { readMessages } from "../../src/transport/message-reader.ts";

test("messages are read as they are asked for, and the stream fetches no more than its mark ahead", async () => {
  let fetched = 0;
  const stream = new Readable({
    objectMode: true,
    highWaterMark: 4,
    read() {
      this.push(Buffer.from([fetched++]));
    },
  });
  const messages = readMessages(stream);
  expect(fetched).toBe(0);
  expect((await messages.next()).value).toEqual(Buffer.from([0]));
  await new Promise((resolve) => setImmediate(resolve));
  expect(fetched).toBeLessThanOrEqual(6);
});

test("leaving early leaves the stream alive and unwatched", async () => {
  const stream = new Duplex({ objectMode: true, read: () => undefined, write: (_chunk, _encoding, done) => done() });
  stream.push(Buffer.from("a"));
  for await (const message of readMessages(stream)) {
    expect(message.toString()).toBe("a");
    break;
  }
  expect(stream.destroyed).toBe(false);
  expect(["readable", "end", "close"].map((event) => stream.listenerCount(event))).toEqual([0, 0, 0]);
});

test("a destroyed stream ends the reading that waits for it", async () => {
  const stream = new Readable({ objectMode: true, read: () => undefined });
  const waiting = readMessages(stream).next();
  stream.destroy();
  expect((await waiting).done).toBe(true);
});
