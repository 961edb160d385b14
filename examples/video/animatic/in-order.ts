/**
 * Maps items by `map`, at most `limit` at a time, and yields the results in the items' order. When the consumer leaves, an
 * item fails or the signal aborts, nothing new begins, and what has begun is awaited before the generator ends.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item>,
  limit: number,
  signal: AbortSignal,
  map: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const begun: Promise<Result>[] = [];
  try {
    for (const item of items) {
      signal.throwIfAborted();
      const result = map(item);
      // Awaited below, but possibly later than it fails, which must not count as unhandled until then.
      result.catch(() => {});
      begun.push(result);
      if (begun.length >= limit) yield await (begun.shift() as Promise<Result>);
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) {
      yield await next;
      signal.throwIfAborted();
    }
  } finally {
    await Promise.allSettled(begun);
  }
}

/** Frames at once. Two keep two cores busy, and leave half of Node's four I/O threads to the journal's syncs. */
export const framesAtOnce = 2;
