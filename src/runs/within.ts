import { Code } from "@connectrpc/connect";
import type { Clock } from "../clock.ts";
import { createError } from "./failure.ts";

/**
 * What comes of some work in a limited time. When that is over, or the outer signal is aborted, the work is told to stop
 * by its own signal, and not waited for.
 *
 * @throws ConnectError DEADLINE_EXCEEDED, the outer signal's reason, or what the work throws
 */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const over = Promise.withResolvers<never>();
  const stop = (reason: unknown): void => {
    controller.abort(reason);
    over.reject(reason);
  };
  const onAbort = (): void => stop(outer?.reason);
  outer?.addEventListener("abort", onAbort, { once: true });
  const timer = clock.setTimeout(
    () => stop(createError(Code.DeadlineExceeded, "OVERTIME", `it took longer than its ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    return await Promise.race([work(controller.signal), over.promise]);
  } finally {
    timer.cancel();
    outer?.removeEventListener("abort", onAbort);
  }
}
