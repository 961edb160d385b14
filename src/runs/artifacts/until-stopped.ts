import { untilAborted } from "../until-aborted.ts";

/** Reads as the consumer asks, until the signal says stop; who gives the content may then never answer. */
export async function* untilStopped<T>(
  content: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const iterator = content[Symbol.asyncIterator]();
  try {
    for (;;) {
      // Not asked for any more: nobody would hear what it fails with.
      signal.throwIfAborted();
      const result = await untilAborted(iterator.next(), signal);
      if (result.done === true) {
        return;
      }
      yield result.value;
    }
  } finally {
    iterator.return?.()?.catch(() => undefined);
  }
}
