import type { Transport } from "@connectrpc/connect";

/** Calls a server from outside: a call breaks off when the server dies. */
export function connectTo(transport: Transport, died: Promise<never>): Transport {
  const untilDeath = <T>(answer: Promise<T>): Promise<T> => Promise.race([answer, died]);
  return {
    unary: (...call) => untilDeath(transport.unary(...call)),
    stream: async (...call) => {
      const response = await untilDeath(transport.stream(...call));
      return { ...response, message: messagesUntil(response.message, untilDeath) };
    },
  };
}

async function* messagesUntil<T>(
  messages: AsyncIterable<T>,
  untilDeath: <R>(answer: Promise<R>) => Promise<R>,
): AsyncGenerator<T, void, undefined> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await untilDeath(iterator.next());
      if (next.done === true) {
        return;
      }
      yield next.value;
    }
  } finally {
    // Not waited for: the other side may be dead.
    iterator.return?.().catch(() => undefined);
  }
}
