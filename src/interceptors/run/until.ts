import type { Clock } from "../../clock.ts";

/** Resolves when one of the signals is aborted. */
export function until(signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signals.some(({ aborted }) => aborted)) {
    return Promise.resolve();
  }
  const end = (): void => resolve();
  for (const signal of signals) {
    signal.addEventListener("abort", end, { once: true });
  }
  return promise.finally(() => {
    for (const signal of signals) {
      signal.removeEventListener("abort", end);
    }
  });
}

/** The same, or when the time is over. */
export async function heldFor(clock: Clock, delayMs: number, signals: readonly AbortSignal[]): Promise<void> {
  const over = new AbortController();
  const timer = clock.setTimeout(() => over.abort(), delayMs);
  try {
    await until([over.signal, ...signals]);
  } finally {
    timer.cancel();
  }
}
