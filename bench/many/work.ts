import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Progress } from "./server-messages.ts";

/** Counts the attempts of a server, and how late its event loop is meanwhile. */
export class Work {
  #attempts = 0;
  #running = 0;
  #most = 0;
  #delay: ReturnType<typeof monitorEventLoopDelay> | undefined;

  begin(): void {
    this.#attempts++;
    this.#most = Math.max(this.#most, ++this.#running);
  }

  end(): void {
    this.#running--;
  }

  /** What has been done since this was last asked. */
  progress(): Progress {
    this.#delay?.disable();
    const progress: Progress = {
      attempts: this.#attempts,
      most: this.#most,
      eventLoopDelayP99Ms: (this.#delay?.percentile(99) ?? 0) / 1e6,
      eventLoopDelayMaxMs: (this.#delay?.max ?? 0) / 1e6,
    };
    this.#attempts = 0;
    this.#most = this.#running;
    // A new one, because one that is enabled again counts the time in between as delay.
    this.#delay = monitorEventLoopDelay({ resolution: 1 });
    this.#delay.enable();
    return progress;
  }
}
