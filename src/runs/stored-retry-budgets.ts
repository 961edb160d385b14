import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type RetryBudgetsEvent, RetryBudgetsEventSchema } from "../../gen/retake/v1/storage_pb.js";
import type { Clock, Timer } from "../clock.ts";
import type { Logger } from "./logger.ts";
import type { Journal } from "./ports/journal.ts";
import { ReplacedRecord } from "./replaced-record.ts";
import type { RetryBudgets } from "./retry-budgets.ts";
import { msFromTimestamp, timestampFromMs } from "./time.ts";

const prefix = "retry-budgets/";

/** While attempts fail, one append tells what has become of all budgets meanwhile. */
const storeAfterMs = 1_000;

export interface StoredRetryBudgetsOptions {
  readonly retryBudgets: RetryBudgets;
  readonly journal: Pick<Journal, "append" | "listStreams" | "read" | "deleteStreams">;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps in the journal what is left of retry budgets, so that a restart is no new start for a back-end that is down: while
 * one is so far spent that retries wait, within a second, and all of them at a stop. Budgets that are full are not written
 * of.
 */
export class StoredRetryBudgets {
  readonly #options: StoredRetryBudgetsOptions;
  readonly #record: ReplacedRecord;
  #timer: Timer | undefined;
  #storing: Promise<void> = Promise.resolve();

  constructor(options: StoredRetryBudgetsOptions) {
    this.#options = options;
    this.#record = new ReplacedRecord(options.journal, prefix);
  }

  /** Goes on with what an earlier process has left of them, and what time has brought since. */
  async open(): Promise<void> {
    const { retryBudgets, clock } = this.#options;
    const data = await this.#record.open();
    if (data !== undefined) {
      const { time, budgets } = fromBinary(RetryBudgetsEventSchema, data);
      const agoMs = time === undefined ? 0 : clock.now() - msFromTimestamp(time);
      for (const { backend, tokens } of budgets) {
        retryBudgets.restore(backend, tokens, agoMs);
      }
    }
    retryBudgets.onThrottled = () => {
      this.#timer ??= clock.setTimeout(() => {
        this.#timer = undefined;
        this.#storing = this.#storing.then(() => this.#store());
      }, storeAfterMs);
    };
  }

  /** Stores what is left of them. Never rejects. */
  async close(): Promise<void> {
    this.#options.retryBudgets.onThrottled = undefined;
    this.#timer?.cancel();
    await this.#storing;
    await this.#store();
  }

  async #store(): Promise<void> {
    const event = this.#eventOfNow();
    try {
      await this.#record.store(event.budgets.length > 0 ? toBinary(RetryBudgetsEventSchema, event) : undefined);
    } catch (error) {
      const { log } = this.#options;
      log.warn({ err: error }, "what is left of retry budgets could not be stored: a restart would not know of it");
    }
  }

  #eventOfNow(): RetryBudgetsEvent {
    const { retryBudgets, clock } = this.#options;
    const budgets = retryBudgets
      .list()
      .map(([backend, { tokens }]) => ({ backend, ...tokens }))
      .filter(({ left, most }) => left < most)
      .map(({ backend, left }) => ({ backend, tokens: left }));
    return create(RetryBudgetsEventSchema, { time: timestampFromMs(clock.now()), budgets });
  }
}
