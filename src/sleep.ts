import type { Clock } from "./clock.ts";

/** Resolves when others have had the event loop: callers wait for it. */
export function nextTurn(clock: Pick<Clock, "setImmediate">): Promise<void> {
  return new Promise((resolve) => clock.setImmediate(resolve));
}

/** Resolves after a delay; rejects with the signal's reason when it is aborted before. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = clock.setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
