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
  /** About how many bytes one is on its way. */
  readonly bytesOf: (item: T) => number;
  /** Told of each item that is lost, and why: too many wait, the receiver does not take it, or it is the end. */
  readonly onLost: (reason: "full" | "refused" | "end", count: number) => void;
  /** Told before each batch is sent, and when one has been taken, or what was refused of it is lost. */
  readonly onSending?: () => void;
  readonly onSettled?: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

const batchSize = 512;
/** Half of what a Collector takes by gRPC, since sizes are guessed. A single item may be more. */
const batchBytes = 2_097_152;

/** How long an item waits for others at most. */
const delayMs = 2_000;

/** A busy minute of a receiver that is away: some 100 MB at worst. What comes beyond is lost, the newest first. */
const mostItems = 65_536;

const initialBackoffMs = 1_000;
const maxBackoffMs = 15_000;

/** How long whoever closes waits for what is left. */
const closeTimeoutMs = 5_000;

/** After so many in a row, each alone, it is the receiver that is wrong, and not what it is sent. */
const refusalsUntilPause = 5;

/**
 * Sends items in batches, in their order. A batch that is not taken is sent again until it is: the SDK's own processors
 * drop what a receiver that is away does not take within seconds, and go by timers that no test can move. One that would
 * never be taken is sent in halves, until the item that is refused is alone: that one is lost, and holds up nobody.
 */
export class BatchSender<T> {
  readonly #options: BatchSenderOptions<T>;
  #items: T[] = [];
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #dropped = 0;
  #settled = 0;
  #leftOver = 0;
  #refused = 0;
  #refusedInARow = 0;
  #failures = 0;
  /** Items that a batch may have: fewer while it is found out which one is refused. */
  #most = batchSize;
  #closing = false;
  #wake: (() => void) | undefined;

  constructor(options: BatchSenderOptions<T>) {
    this.#options = options;
  }

  /** How many were lost because there were too many. */
  get dropped(): number {
    return this.#dropped;
  }

  /** How many have been taken, or refused. */
  get settled(): number {
    return this.#settled;
  }

  /** How many there were, without those for which there was no room. */
  get added(): number {
    return this.#settled + this.#items.length + this.#leftOver;
  }

  add(item: T): void {
    if (this.#items.length >= mostItems) {
      this.#options.onLost("full", 1);
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
    const { clock, exporter, log, what, onLost } = this.#options;
    this.#closing = true;
    this.#wake?.();
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(late.resolve, closeTimeoutMs);
    await Promise.race([this.#flush(), late.promise]);
    if (this.#items.length > 0) {
      onLost("end", this.#items.length);
      log.warn({ lost: this.#items.length }, `${what} could not be exported before the end`);
    }
    this.#leftOver = this.#items.length;
    this.#items = [];
    // It waits for what is under way, which may be a receiver that does not answer.
    await Promise.race([exporter.shutdown(), late.promise]);
    timer.cancel();
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
      const batch = this.#batch();
      this.#options.onSending?.();
      const { code, error } = await this.#export(batch);
      if (code === ExportResultCode.SUCCESS) {
        this.#items.splice(0, batch.length);
        this.#settle(batch.length);
        this.#most = Math.min(batchSize, this.#most * 2);
        this.#refusedInARow = 0;
        this.#recovered();
      } else if (isRefusal(error) && batch.length > 1) {
        this.#most = Math.ceil(batch.length / 2);
      } else {
        if (isRefusal(error)) this.#lose(error);
        if (isRefusal(error) && this.#refusedInARow < refusalsUntilPause) continue;
        this.#failed(error);
        // One try at the end has to do.
        if (this.#closing) return;
        await this.#backOff();
      }
    } while (this.#items.length >= batchSize || (this.#isHeldUp && this.#items.length > 0));
  }

  /** Whether what is left does not wait for more. */
  get #isHeldUp(): boolean {
    return this.#failures > 0 || this.#most < batchSize;
  }

  #batch(): T[] {
    let [count, bytes] = [0, 0];
    while (count < Math.min(this.#items.length, this.#most)) {
      bytes += this.#options.bytesOf(this.#items[count] as T);
      if (bytes > batchBytes && count > 0) break;
      count++;
    }
    return this.#items.slice(0, count);
  }

  #lose(error: Error | undefined): void {
    const { log, what, onLost } = this.#options;
    this.#items.shift();
    this.#settle(1);
    this.#refusedInARow++;
    onLost("refused", 1);
    if (this.#refused++ === 0) log.warn({ err: error }, `some ${what} are lost: the receiver refuses them`);
  }

  #settle(count: number): void {
    this.#settled += count;
    this.#options.onSettled?.();
  }

  #export(batch: T[]): Promise<ExportResult> {
    return new Promise((resolve) => {
      try {
        this.#options.exporter.export(batch, resolve);
      } catch (error) {
        // What cannot be written down will not be the next time either.
        resolve({ code: ExportResultCode.FAILED, error: new Unwritable("it cannot be sent", { cause: error }) });
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

class Unwritable extends Error {}

/** Bad request, too large, unprocessable. */
const refusingStatuses: ReadonlySet<unknown> = new Set([400, 413, 422]);
const invalidArgument = 3;
const resourceExhausted = 8;

/** Whether it is about what was sent, and not about the receiver or the way to it. */
function isRefusal(error: Error | undefined): boolean {
  if (error instanceof Unwritable) return true;
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  if (code === invalidArgument || refusingStatuses.has(code)) return true;
  // That status is also of a receiver that has too much to do.
  return code === resourceExhausted && /larger than/i.test(error?.message ?? "");
}
