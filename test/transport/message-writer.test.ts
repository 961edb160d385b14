import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { MessageWriter } from "../../src/transport/message-writer.ts";

/** A stream whose writes complete when the test says so, or never, as grpc-js's after a cancellation. */
function heldStream() {
  const held: (() => void)[] = [];
  const stream = new Writable({
    objectMode: true,
    write: (_message, _encoding, callback) => {
      held.push(callback);
    },
  });
  return { stream, release: () => held.shift()?.() };
}

test("a writer lets small messages through until 16 KiB are under way, then asks to wait", async () => {
  const { stream, release } = heldStream();
  const writer = new MessageWriter(stream);
  let written = 0;
  let room: Promise<void> | undefined;
  while (room === undefined) {
    room = writer.write(Buffer.alloc(0));
    written++;
  }
  // Each costs 256 bytes besides its own, so that empty messages are bounded as well.
  expect(written).toBe(64);
  release();
  await room;
  expect(writer.write(Buffer.alloc(100))).toBeInstanceOf(Promise);
});

test("a message larger than the bound is written, alone", async () => {
  const { stream, release } = heldStream();
  const writer = new MessageWriter(stream);
  const room = writer.write(Buffer.alloc(1_000_000));
  expect(room).toBeInstanceOf(Promise);
  release();
  await room;
});

test("closing wakes who waits, though the write never completes and drain never comes", async () => {
  const { stream } = heldStream();
  const writer = new MessageWriter(stream);
  const room = writer.write(Buffer.alloc(1_000_000));
  writer.close();
  await room;
  expect(writer.write(Buffer.alloc(1_000_000))).toBeUndefined();
  expect(stream.writableLength).toBe(1);
});
