/**
 * Tells an iterator that nobody wants more of it, so that it can clean up. Does not wait: a generator that is busy runs
 * its `finally` only after what it awaits, which may be never, and what it throws then concerns no one any more.
 */
export function abandon(iterator: AsyncIterator<unknown> | undefined): void {
  if (iterator !== undefined) {
    void returnQuietly(iterator);
  }
}

async function returnQuietly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // Nobody is left to tell.
  }
}
