import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock, RandomSource } from "../clock.ts";
import { sleep } from "../sleep.ts";
import { errorFromAborted } from "./aborted.ts";
import { reconnectDelayMs } from "./backoff.ts";
import { retryAdvice } from "./retry-advice.ts";

export interface PatienceOptions {
  readonly clock: Clock;
  readonly random: RandomSource;
  /** How long nothing may move, in ms. */
  readonly forMs: number;
  readonly signal: AbortSignal;
  /** Told of each lost connection, before it is made anew. */
  readonly onReconnect?:
    | ((reconnection: { error: ConnectError; attempt: number; delayMs: number }) => void)
    | undefined;
}

/** Rides through lost connections of something that can be continued, until nothing has moved for too long. */
export class Patience {
  readonly #options: PatienceOptions;
  #stuckMs: number | undefined;
  #attempt = 0;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Something has moved: what went wrong before is forgotten. */
  moved(): void {
    this.#stuckMs = undefined;
    this.#attempt = 0;
  }

  /** Waits until the next try. @throws ConnectError where there is no point in one, or the signal is aborted */
  async wait(thrown: unknown): Promise<void> {
    const { clock, random, forMs, signal, onReconnect } = this.#options;
    if (signal.aborted) throw errorFromAborted(signal);
    const error = ConnectError.from(thrown);
    const advice = retryAdvice(error);
    if (!isLost(error.code) || advice.kind === "never") throw error;
    const attempt = ++this.#attempt;
    const delayMs = Math.max(advice.delayMs, reconnectDelayMs(attempt, random));
    this.#stuckMs ??= clock.monotonic();
    if (clock.monotonic() - this.#stuckMs + delayMs > forMs) throw error;
    onReconnect?.({ error, attempt, delayMs });
    try {
      await sleep(clock, delayMs, signal);
    } catch {
      throw errorFromAborted(signal);
    }
  }
}

/** A server that is killed is UNAVAILABLE, or CANCELLED on connections that it closes by itself. */
function isLost(code: Code): boolean {
  return code === Code.Unavailable || code === Code.Canceled || code === Code.DeadlineExceeded;
}
