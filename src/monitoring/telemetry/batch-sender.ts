import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { Clock, Timer } from "../../clock.ts";
import { type ProtoWriter, RecordQueue, sliceRecords, type WrittenRecords } from "../../otlp/index.ts";
import type { Logger } from "../../runs/index.ts";

/** What sends spans or log records away. */
export interface BatchExporter {
  export(batch: readonly WrittenRecords[], resultCallback: (result: ExportResult) => void): void;
  shutdown(): Promise<void>;
}

export interface BatchSenderOptions {
  /** What is sent, for the log: "spans". */
  readonly what: string;
  readonly exporter: BatchExporter;
  /** Told of each record that is lost, and why: too many wait, the receiver does not take it, or it is the end. */
  readonly onLost: (reason: "full" | "refused" | "end", count: number) => void;
  /** Told before each batch is sent, and when one has been taken, or what was refused of it is lost. */
  readonly onSending?: () => void;
  readonly onSettled?: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A request costs what hundreds of records do, and a busy server makes ten thousand a second. */
const batchSize = 2_048;
/** Half of what a Collector takes by gRPC. A single record may be more. */
const batchBytes = 2_097_152;

/** How long a record waits for others at most. */
const delayMs = 2_000;

/** A busy minute of a receiver that is away: some 100 MB at worst. What comes beyond is lost, the newest first. */
const mostRecords = 65_536;

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
export class BatchSender {
  readonly #options: BatchSenderOptions;
  readonly #queue = new RecordQueue();
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

  constructor(options: BatchSenderOptions) {
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
    return this.#settled + this.#queue.length + this.#leftOver;
  }

  /** Adds one. @throws what writing it throws */
  write(write: (writer: ProtoWriter) => void): void {
    if (this.#queue.length >= mostRecords) {
      this.#drop(1);
      return;
    }
    this.#queue.write(write);
    this.#added();
  }

  add(records: WrittenRecords): void {
    const room = mostRecords - this.#queue.length;
    const { length } = records.ends;
    if (length > room) this.#drop(length - room);
    this.#queue.add(length > room ? sliceRecords(records, 0, room) : records);
    this.#added();
  }

  #added(): void {
    if (this.#sending !== undefined) return;
    if (this.#queue.length >= batchSize) this.#send();
    else if (this.#queue.length > 0) this.#timer ??= this.#options.clock.setTimeout(() => this.#send(), delayMs);
  }

  #drop(count: number): void {
    const { log, what, onLost } = this.#options;
    onLost("full", count);
    if (this.#dropped === 0) {
      log.warn({ most: mostRecords }, `${what} are lost: more are waiting to be exported than may`);
    }
    this.#dropped += count;
  }

  /** Sends what is left, for as long as that may take, and lets the rest go with a line in the log. */
  async close(): Promise<void> {
    const { clock, exporter, log, what, onLost } = this.#options;
    this.#closing = true;
    this.#wake?.();
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(late.resolve, closeTimeoutMs);
    await Promise.race([this.#flush(), late.promise]);
    const left = this.#queue.length;
    if (left > 0) {
      onLost("end", left);
      log.warn({ lost: left }, `${what} could not be exported before the end`);
    }
    this.#leftOver = left;
    this.#queue.drop(left);
    // It waits for what is under way, which may be a receiver that does not answer.
    await Promise.race([exporter.shutdown(), late.promise]);
    timer.cancel();
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0 && this.#failures === 0) {
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
      if (this.#queue.length > 0 && !this.#closing) {
        this.#timer ??= this.#options.clock.setTimeout(() => this.#send(), delayMs);
      }
    });
  }

  /** Until less than a batch is left, or nothing where it is the end. */
  async #sendAll(): Promise<void> {
    do {
      const batch = this.#queue.first(this.#most, batchBytes);
      const count = batch.reduce((sum, { ends }) => sum + ends.length, 0);
      this.#options.onSending?.();
      const { code, error } = await this.#export(batch);
      if (code === ExportResultCode.SUCCESS) {
        this.#queue.drop(count);
        this.#settle(count);
        this.#most = Math.min(batchSize, this.#most * 2);
        this.#refusedInARow = 0;
        this.#recovered();
      } else if (isRefusal(error) && count > 1) {
        this.#most = Math.ceil(count / 2);
      } else {
        if (isRefusal(error)) this.#lose(error);
        if (isRefusal(error) && this.#refusedInARow < refusalsUntilPause) continue;
        this.#failed(error);
        // One try at the end has to do.
        if (this.#closing) return;
        await this.#backOff();
      }
    } while (this.#queue.length >= batchSize || (this.#isHeldUp && this.#queue.length > 0));
  }

  /** Whether what is left does not wait for more. */
  get #isHeldUp(): boolean {
    return this.#failures > 0 || this.#most < batchSize;
  }

  #lose(error: Error | undefined): void {
    const { log, what, onLost } = this.#options;
    this.#queue.drop(1);
    this.#settle(1);
    this.#refusedInARow++;
    onLost("refused", 1);
    if (this.#refused++ === 0) log.warn({ err: error }, `some ${what} are lost: the receiver refuses them`);
  }

  #settle(count: number): void {
    this.#settled += count;
    this.#options.onSettled?.();
  }

  #export(batch: readonly WrittenRecords[]): Promise<ExportResult> {
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
