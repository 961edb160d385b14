import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { Clock, Timer } from "../../clock.ts";
import type { Logger } from "../../runs/index.ts";

/** What sends spans or log records away. */
export interface BatchExporter<T> {
  export(items: T[], resultCallback: (result: ExportResult) => void): void;
  shutdown(): Promise<void>;
}

export interface BatchSenderOptions<T> {
  /** What is sent, for the log: "spans". */
  readonly what: string;
  readonly exporter: BatchExporter<T>;
  readonly clock: Clock;
  readonly log: Logger;
}

const batchSize = 512;

/** How long an item waits for others at most. */
const delayMs = 2_000;

/** A busy minute of a receiver that is away: some 100 MB at worst. What comes beyond is lost, the newest first. */
const mostItems = 65_536;

const initialBackoffMs = 1_000;
const maxBackoffMs = 15_000;

/** How long whoever closes waits for what is left. */
const closeTimeoutMs = 5_000;

/**
 * Sends items in batches, in their order. A batch that is not taken is sent again until it is: the SDK's own processors
 * drop what a receiver that is away does not take within seconds, and go by timers that no test can move.
 */
export class BatchSender<T> {
  readonly #options: BatchSenderOptions<T>;
  #items: T[] = [];
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #dropped = 0;
  #failures = 0;
  #closing = false;
  #wake: (() => void) | undefined;

  constructor(options: BatchSenderOptions<T>) {
    this.#options = options;
  }

  /** How many were lost because there were too many. */
  get dropped(): number {
    return this.#dropped;
  }

  add(item: T): void {
    if (this.#items.length >= mostItems) {
      if (this.#dropped++ === 0) {
        const { log, what } = this.#options;
        log.warn({ most: mostItems }, `${what} are lost: more are waiting to be exported than may`);
      }
      return;
    }
    this.#items.push(item);
    if (this.#sending !== undefined) return;
    if (this.#items.length >= batchSize) this.#send();
    else this.#timer ??= this.#options.clock.setTimeout(() => this.#send(), delayMs);
  }

  /** Sends what is left, for as long as that may take, and lets the rest go with a line in the log. */
  async close(): Promise<void> {
    const { clock, exporter, log, what } = this.#options;
    this.#closing = true;
    this.#wake?.();
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(late.resolve, closeTimeoutMs);
    await Promise.race([this.#flush(), late.promise]);
    timer.cancel();
    if (this.#items.length > 0) log.warn({ lost: this.#items.length }, `${what} could not be exported before the end`);
    this.#items = [];
    await exporter.shutdown();
  }

  async #flush(): Promise<void> {
    while (this.#items.length > 0 && this.#failures === 0) {
      this.#send();
      await this.#sending;
    }
    await this.#sending;
  }

  #send(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
      if (this.#items.length > 0 && !this.#closing) {
        this.#timer ??= this.#options.clock.setTimeout(() => this.#send(), delayMs);
      }
    });
  }

  /** Until less than a batch is left, or nothing where it is the end. */
  async #sendAll(): Promise<void> {
    do {
      const batch = this.#items.slice(0, batchSize);
      const { code, error } = await this.#export(batch);
      if (code === ExportResultCode.SUCCESS) {
        this.#items.splice(0, batch.length);
        this.#recovered();
      } else {
        this.#failed(error);
        // One try at the end has to do.
        if (this.#closing) return;
        await this.#backOff();
      }
    } while (this.#items.length >= batchSize || (this.#failures > 0 && this.#items.length > 0));
  }

  #export(batch: T[]): Promise<ExportResult> {
    return new Promise((resolve) => {
      try {
        this.#options.exporter.export(batch, resolve);
      } catch (error) {
        resolve({ code: ExportResultCode.FAILED, error: error as Error });
      }
    });
  }

  #failed(error: Error | undefined): void {
    const { log, what } = this.#options;
    if (this.#failures++ === 0) log.warn({ err: error }, `${what} cannot be exported; they are kept and sent again`);
  }

  #recovered(): void {
    const { log, what } = this.#options;
    if (this.#failures > 0) log.info({ failures: this.#failures }, `${what} can be exported again`);
    this.#failures = 0;
  }

  async #backOff(): Promise<void> {
    const waitMs = Math.min(maxBackoffMs, initialBackoffMs * 2 ** Math.min(10, this.#failures - 1));
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimeout(resolve, waitMs);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
