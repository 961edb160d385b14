import type { Readable } from "node:stream";

/**
 * Reads a grpc-js stream message by message, as the consumer asks. At most the stream's own high-water mark (16
 * messages) is fetched ahead. Unlike the stream's own iterator, ending early does not destroy the stream, whose
 * writable side is still needed. Ends when the stream ends or is destroyed; which of both it was, the caller knows.
 */
export async function* readMessages(stream: Readable): AsyncGenerator<Buffer, void, undefined> {
  let wake: (() => void) | undefined;
  const onEvent = (): void => wake?.();
  stream.on("readable", onEvent).on("end", onEvent).on("close", onEvent);
  try {
    for (;;) {
      const message: Buffer | null = stream.read();
      if (message !== null) {
        yield message;
      } else if (stream.readableEnded || stream.destroyed) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    stream.off("readable", onEvent).off("end", onEvent).off("close", onEvent);
  }
}
