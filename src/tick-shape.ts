import { executionAsyncResource } from "node:async_hooks";

const kept: object[] = [];

/**
 * Has V8 know for good how the objects look that Node makes for `process.nextTick`, by keeping one of them. The queue of
 * ticks is empty while garbage is collected, so that after some collections V8 forgets that, and never learns it again: each
 * tick costs 0.3 µs from then on, instead of 0.05 µs, and a call by gRPC takes a dozen.
 */
export function keepTickShape(): void {
  if (kept.length > 0) return;
  process.nextTick(() => {
    if (kept.length === 0) kept.push(executionAsyncResource());
  });
}
