import type { DescMessage, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ContextValues, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { createLinkedAbortController } from "@connectrpc/connect/protocol";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import { sleep } from "../sleep.ts";
import { errorFromAborted } from "./aborted.ts";
import { reconnectDelayMs } from "./backoff.ts";
import { keyInField } from "./key-field.ts";
import { retryAdvice } from "./retry-advice.ts";

export interface RetryOptions {
  /** How long a call is tried again, from its start on. 0 for never. */
  readonly retryForMs: number;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Ends every wait, and refuses new calls. */
  readonly closed: AbortSignal;
}

/**
 * Calls again what failed with UNAVAILABLE and can be called twice without harm, so that a restart of the server is not
 * noticed: unary methods whose contract says so (`idempotency_level`), and those called with an idempotency key. Streams
 * are left alone. A server's advice when to come back is followed; an error is thrown once that would take too long.
 */
export function createRetryingTransport(transport: Transport, options: RetryOptions): Transport {
  const { retryForMs, clock, random, closed } = options;

  function throwIfClosed(): void {
    if (closed.aborted) throw errorFromAborted(closed);
  }

  async function wait(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    const stop = createLinkedAbortController(signal, closed);
    try {
      await sleep(clock, delayMs, stop.signal);
    } catch {
      throw errorFromAborted(stop.signal);
    } finally {
      stop.abort();
    }
  }

  return {
    stream: async (...args) => {
      throwIfClosed();
      return transport.stream(...args);
    },
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      givenTimeoutMs: number | undefined,
      header: ConstructorParameters<typeof Headers>[0],
      input: MessageInitShape<I>,
      contextValues?: ContextValues,
    ): Promise<UnaryResponse<I, O>> {
      throwIfClosed();
      // Connect takes 0 and less for "no timeout".
      const timeoutMs = givenTimeoutMs !== undefined && givenTimeoutMs > 0 ? givenTimeoutMs : Number.POSITIVE_INFINITY;
      const patienceMs = canRepeat(method, header, input) ? Math.min(retryForMs, timeoutMs) : 0;
      const startMs = clock.monotonic();
      for (let attempt = 1; ; attempt++) {
        const leftMs =
          timeoutMs === Number.POSITIVE_INFINITY ? undefined : Math.max(1, timeoutMs - (clock.monotonic() - startMs));
        try {
          return await transport.unary(method, signal, leftMs, header, input, contextValues);
        } catch (reason) {
          const error = ConnectError.from(reason);
          const advice = retryAdvice(error);
          if (error.code !== Code.Unavailable || advice.kind === "never") throw error;
          const delayMs = Math.max(advice.delayMs, reconnectDelayMs(attempt, random));
          if (clock.monotonic() - startMs + delayMs > patienceMs) throw error;
          await wait(delayMs, signal);
        }
      }
    },
  };
}

/** Whether a second call does no more than the first. */
function canRepeat(method: DescMethodUnary, header: ConstructorParameters<typeof Headers>[0], input: unknown): boolean {
  if (method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN) return true;
  if (new Headers(header).get("idempotency-key")) return true;
  if (method.parent.typeName === RunService.typeName) {
    return Boolean((input as { readonly idempotencyKey?: string }).idempotencyKey);
  }
  return keyInField(method.input, input) !== "";
}
