import type { Clock, Timer } from "../clock.ts";
import { SortedList } from "../sorted-list.ts";
import type { Verdict } from "./breakers/breaker.ts";

export interface RetryBudgetOptions {
  readonly maxTokens: number;
  /** What one success brings back. */
  readonly tokenRatio: number;
  /** One token comes back by itself this often. */
  readonly tokenIntervalMs: number;
}

/** There may be very many: small. */
interface WaitingRetry {
  readonly runId: string;
  readonly order: number;
}

/** What a retry waits for. */
export interface RetryBudgetPlace {
  readonly reason: string;
  /** 1 is next. */
  readonly position: number;
  /** When it is its turn if nothing else happens, in ms since the epoch. */
  readonly notBeforeMs: number;
}

/**
 * How many retries a back-end gets while its attempts fail: gRPC's retry throttling (gRFC A6). A failure takes a token, a
 * success brings a part of one back, and a retry needs more than half of them.
 *
 * 1. A retry takes its token when it goes, and gets it back when it has not failed: else all that wait would go at once
 *    when the first token comes back. Where half of them are less than one, it goes into debt for the rest: a retry that
 *    took a part only would give back more than it has taken, or cost less than others when it fails.
 * 2. Those that wait go in the order in which they came, and newcomers go behind them.
 * 3. Tokens also come back by the clock, so that nobody waits for ever where nothing else runs, or what runs takes hours.
 */
export class RetryBudget {
  readonly #clock: Clock;
  readonly #wake: (runId: string) => void;
  readonly #onThrottled: () => void;
  #options: RetryBudgetOptions;
  #tokens: number;
  /** When the tokens were counted, by the monotonic clock. */
  #countedMs: number;
  readonly #waiting = new Map<string, WaitingRetry>();
  readonly #line = new SortedList<WaitingRetry>((a, b) => a.order < b.order);
  #came = 0;
  /** Retries that may go, or are under way. */
  readonly #admitted = new Set<string>();
  #timer: Timer | undefined;

  /**
   * @param wake called for each run whose turn has come
   * @param onThrottled called when it has come to be so far spent that retries wait, or is so, or was so, and changes
   */
  constructor(
    options: RetryBudgetOptions,
    clock: Clock,
    wake: (runId: string) => void,
    onThrottled: () => void = () => undefined,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#wake = wake;
    this.#onThrottled = onThrottled;
    this.#tokens = options.maxTokens;
    this.#countedMs = clock.monotonic();
  }

  /** Whether a retry may go; one that may not is woken when it may. Asking again changes nothing. */
  admit(runId: string): boolean {
    if (this.#admitted.has(runId)) {
      return true;
    }
    if (!this.#waiting.has(runId)) {
      const retry = { runId, order: this.#came++ };
      this.#waiting.set(runId, retry);
      this.#line.add(retry);
    }
    this.#letGo(runId);
    return this.#admitted.has(runId);
  }

  /** An attempt has ended, a first one too. */
  settle(runId: string, verdict: Verdict): void {
    const taken = this.#admitted.delete(runId) ? 1 : 0;
    if (verdict === "failure") {
      this.#add(taken - 1);
    } else {
      this.#add(taken + (verdict === "success" ? this.#options.tokenRatio : 0));
    }
    this.#letGo();
  }

  /** A run makes no retry. */
  withdraw(runId: string): void {
    if (this.#admitted.delete(runId)) {
      this.#add(1);
      this.#letGo();
    } else if (this.#leave(this.#waiting.get(runId))) {
      this.#letGo();
    }
  }

  place(runId: string): RetryBudgetPlace | undefined {
    const retry = this.#waiting.get(runId);
    if (retry === undefined) {
      return undefined;
    }
    const position = this.#line.countBefore(retry) + 1;
    return { reason, position, notBeforeMs: this.#clock.now() + this.#msUntil(position) };
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** What is left of it now, and when it is full. */
  get tokens(): { readonly left: number; readonly most: number } {
    return { left: this.#tokensNow, most: this.#options.maxTokens };
  }

  /** Goes on from what was left some time ago: to what there is by now, time has brought its part. */
  restore(tokens: number, agoMs: number): void {
    this.#set(tokens + Math.max(0, agoMs) / this.#options.tokenIntervalMs);
  }

  adopt(options: RetryBudgetOptions): void {
    this.#add(0);
    this.#options = options;
    this.#add(0);
    this.#letGo();
  }

  /** There is no budget any more: all go. */
  open(): void {
    const waiting = [...this.#line];
    this.close();
    for (const { runId } of waiting) {
      this.#wake(runId);
    }
  }

  /** Nobody is woken any more, and no timer is left behind. */
  close(): void {
    this.#waiting.clear();
    this.#line.clear();
    this.#stopTimer();
  }

  /** Takes a retry out of the line; whether it was there. */
  #leave(retry: WaitingRetry | undefined): boolean {
    return retry !== undefined && this.#waiting.delete(retry.runId) && this.#line.remove(retry);
  }

  /** Adds tokens, those included that time has brought. */
  #add(tokens: number): void {
    const now = this.#tokensNow;
    // Failures take no more than there are, and leave a debt as it is.
    this.#set(Math.max(Math.min(now, 0), now + tokens));
  }

  /** A retry takes its token, in full. */
  #take(): void {
    this.#set(this.#tokensNow - 1);
  }

  #set(tokens: number): void {
    const half = this.#options.maxTokens / 2;
    const wasThrottled = this.#tokens <= half;
    this.#tokens = Math.min(this.#options.maxTokens, tokens);
    this.#countedMs = this.#clock.monotonic();
    if (wasThrottled || this.#tokens <= half) {
      this.#onThrottled();
    }
  }

  get #tokensNow(): number {
    const passedMs = this.#clock.monotonic() - this.#countedMs;
    return Math.min(this.#options.maxTokens, this.#tokens + passedMs / this.#options.tokenIntervalMs);
  }

  /** Until that many more retries may go, by the clock alone. */
  #msUntil(retries: number): number {
    const missing = this.#options.maxTokens / 2 + retries - 1 - this.#tokensNow;
    return Math.max(0, missing * this.#options.tokenIntervalMs);
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #letGo(awake?: string): void {
    this.#stopTimer();
    if (this.#waiting.size === 0) {
      return;
    }
    for (let next = this.#line.first; next !== undefined; next = this.#line.first) {
      if (this.#tokensNow <= this.#options.maxTokens / 2) {
        break;
      }
      const { runId } = next;
      this.#leave(next);
      this.#admitted.add(runId);
      this.#take();
      if (runId !== awake) {
        this.#wake(runId);
      }
    }
    if (this.#waiting.size > 0) {
      // Strictly more than half: a little later than when it is half.
      this.#timer = this.#clock.setTimeout(() => this.#letGo(), this.#msUntil(1) + 1);
    }
  }
}

const reason = "so many attempts of its back-end have failed that its retries wait (retry_budget)";
