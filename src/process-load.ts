import { totalmem } from "node:os";
import { type ELDHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { heapUse } from "./heap-use.ts";

/** What a process says about its own load. Measuring costs a little, so it is done only when somebody looks. */
export interface ProcessLoad {
  /** Begins to measure. */
  start(): void;
  /** What was measured since the last reading, or the start. */
  read(): ProcessLoadReading;
  stop(): void;
}

export interface ProcessLoadReading {
  /** How long the event loop kept what was due waiting, on average. */
  readonly eventLoopDelayMs: number;
  /** How much memory is in use of what there may be: 0 to 1. */
  readonly memoryShare: number;
}

/** Often enough to see a busy second, rarely enough to cost nothing. */
const resolutionMs = 20;

/** The load of this process. */
export function createSystemLoad(): ProcessLoad {
  return new SystemLoad();
}

/** A load that is none: for servers on a clock that is not the machine's. */
export const noLoad: ProcessLoad = {
  start: () => {},
  read: () => ({ eventLoopDelayMs: 0, memoryShare: 0 }),
  stop: () => {},
};

class SystemLoad implements ProcessLoad {
  readonly #availableBytes = availableBytes();
  #delay: ELDHistogram | undefined;

  start(): void {
    this.#delay ??= monitorEventLoopDelay({ resolution: resolutionMs });
    this.#delay.reset();
    this.#delay.enable();
  }

  read(): ProcessLoadReading {
    return { eventLoopDelayMs: this.#readDelay(), memoryShare: this.#memoryShare() };
  }

  stop(): void {
    this.#delay?.disable();
    this.#delay = undefined;
  }

  #readDelay(): number {
    const delay = this.#delay;
    if (delay === undefined || delay.count === 0) {
      return 0;
    }
    // What it measures is the time between two looks.
    const delayMs = Math.max(0, delay.mean / 1e6 - resolutionMs);
    delay.reset();
    return delayMs;
  }

  #memoryShare(): number {
    const { usedBytes, limitBytes } = heapUse();
    return Math.max(usedBytes / limitBytes, process.memoryUsage.rss() / this.#availableBytes);
  }
}

/** What the process may take of the machine: less than there is in a container. */
function availableBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
