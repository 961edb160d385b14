import type { ConnectError } from "@connectrpc/connect";
import type { Clock, RandomSource, Timer } from "../../clock.ts";
import type { ProcessLoad } from "../../process-load.ts";
import { overloaded } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Journal } from "../ports/journal.ts";
import { Admission } from "./admission.ts";
import { CommitDelay } from "./commit-delay.ts";
import { Pressure } from "./pressure.ts";

/** From where on a signal means trouble. */
export interface OverloadThresholds {
  readonly eventLoopDelayMs: number;
  /** From 0 to 1. */
  readonly memoryShare: number;
  readonly commitDelayMs: number;
}

export type LoadSignal = "event_loop" | "memory" | "journal";

/** How much trouble there is. */
export interface OverloadState {
  /** The share of new runs that is refused, from 0 to 1; 0 when all is well. */
  readonly share: number;
  /** The signal that is nearest to its threshold, or furthest beyond. */
  readonly signal: LoadSignal;
  /** Its value, as a multiple of its threshold. */
  readonly trouble: number;
  /** The same for people. */
  readonly reason: string;
}

export interface OverloadOptions {
  readonly thresholds: OverloadThresholds;
  readonly load: ProcessLoad;
  readonly journal: Pick<Journal, "flush">;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/** Soon enough to matter to callers, long enough to tell a burst from trouble. */
const periodMs = 500;

/**
 * Refuses new runs while the process is in trouble, before anything of them is written. It looks at the signals only as
 * long as runs are offered or refused: a server that has nothing to do has no trouble, and no timer.
 */
export class Overload {
  readonly #options: OverloadOptions;
  readonly #pressure = new Pressure();
  readonly #admission = new Admission();
  readonly #commitDelay: CommitDelay;
  readonly #listeners = new Set<(state: OverloadState) => void>();
  #state: OverloadState = { share: 0, signal: "event_loop", trouble: 0, reason: "" };
  /** What was in trouble last: runs are refused for some time after it is well again. */
  #cause: Pick<OverloadState, "signal" | "reason"> = this.#state;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: OverloadOptions) {
    this.#options = options;
    this.#commitDelay = new CommitDelay(options.journal, options.clock);
  }

  get state(): OverloadState {
    return this.#state;
  }

  /** Calls back whenever the share that is refused has changed, until the returned function is called. */
  onChange(listener: (state: OverloadState) => void): () => void {
    const own = (state: OverloadState): void => listener(state);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Why a new run of that priority is refused; undefined where it is taken. */
  refusal(priority: number): ConnectError | undefined {
    if (this.#timer === undefined) {
      this.#watch();
    }
    return this.#admission.admit(priority) ? undefined : overloaded(this.#cause, this.#options.random);
  }

  /** Stops looking. */
  close(): void {
    this.#closed = true;
    this.#rest();
  }

  #watch(): void {
    if (!this.#closed) {
      this.#options.load.start();
      this.#arm();
    }
  }

  #arm(): void {
    this.#timer = this.#options.clock.setTimeout(() => this.#look(), periodMs);
  }

  #rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#options.load.stop();
  }

  #look(): void {
    const worst = this.#worst();
    this.#pressure.update(worst.trouble);
    const { share } = this.#pressure;
    const offered = this.#admission.next(share);
    const before = this.#state;
    this.#state = { ...worst, share };
    if (worst.trouble >= 1) {
      this.#cause = worst;
    }
    if (share !== before.share) {
      this.#tell(before);
    }
    if (offered === 0 && share === 0) {
      this.#rest();
    } else {
      this.#arm();
    }
  }

  #worst(): Omit<OverloadState, "share"> {
    const { thresholds, load } = this.#options;
    const { eventLoopDelayMs, memoryShare } = load.read();
    const commitDelayMs = this.#commitDelay.read();
    const signals: readonly Omit<OverloadState, "share">[] = [
      {
        signal: "event_loop",
        trouble: eventLoopDelayMs / thresholds.eventLoopDelayMs,
        reason: `its event loop was ${Math.round(eventLoopDelayMs)} ms late`,
      },
      {
        signal: "memory",
        trouble: memoryShare / thresholds.memoryShare,
        reason: `${Math.round(memoryShare * 100)} % of its memory was in use`,
      },
      {
        signal: "journal",
        trouble: commitDelayMs / thresholds.commitDelayMs,
        reason: `its journal took ${Math.round(commitDelayMs)} ms to make something durable`,
      },
    ];
    return signals.reduce((worst, signal) => (signal.trouble > worst.trouble ? signal : worst));
  }

  #tell({ share: before }: OverloadState): void {
    const { log } = this.#options;
    const { share, signal, reason } = this.#state;
    if (before === 0) {
      log.warn({ signal, reason }, "the server is in trouble; it refuses new runs of low priority until that is over");
    } else if (share === 0) {
      log.info({}, "the trouble is over: the server takes all new runs again");
    }
    for (const listener of [...this.#listeners]) {
      listener(this.#state);
    }
  }
}
