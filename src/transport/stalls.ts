import type { Clock, Timer } from "../clock.ts";

/** How a call or a connection is getting on. */
export interface Progress {
  /** Bytes that wait for its peer to take them. */
  readonly unsentBytes: number;
  /** Changes whenever the peer has sent something that was waited for. */
  readonly received: number;
  /** Of something large that the peer is sending. They count as long as they come at the slowest pace. */
  readonly receivedBytes?: number;
}

interface Stall {
  readonly sinceMs: number;
  readonly mark: number;
  readonly receivedBytes: number;
}

/**
 * In bytes. What waits to be taken may take longer than the time-out, as long as it takes at this pace. What comes in more
 * slowly, over a whole time-out, is as good as stuck: a byte now and then would hold a call for ever.
 */
const slowestPacePerMs = 16;

/** Remembers what was not getting on, and tells when that has lasted too long. */
export class Stalls<Item extends object> {
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #stalls = new WeakMap<Item, Stall>();
  #timer: Timer | undefined;

  constructor(timeoutMs: number, clock: Clock) {
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /** Looks at everything now and then; `items` are those that there are by then. */
  start(
    items: () => Iterable<Item>,
    waiting: (item: Item) => Progress | undefined,
    onStuck: (item: Item) => void,
  ): void {
    this.#timer = this.#clock.setTimeout(() => {
      for (const item of items()) {
        if (this.#isStuck(item, waiting(item))) onStuck(item);
      }
      this.start(items, waiting, onStuck);
    }, this.#timeoutMs / 4);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #isStuck(item: Item, progress: Progress | undefined): boolean {
    if (progress === undefined) {
      this.#stalls.delete(item);
      return false;
    }
    const nowMs = this.#clock.monotonic();
    const mark = progress.received - progress.unsentBytes;
    const { receivedBytes = 0 } = progress;
    const known = this.#stalls.get(item);
    if (
      known === undefined ||
      known.mark !== mark ||
      receivedBytes - known.receivedBytes >= slowestPacePerMs * this.#timeoutMs
    ) {
      this.#stalls.set(item, { sinceMs: nowMs, mark, receivedBytes });
      return false;
    }
    return nowMs - known.sinceMs >= this.#timeoutMs + progress.unsentBytes / slowestPacePerMs;
  }
}
