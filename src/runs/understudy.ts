import type { Sight } from "./watch.ts";

/**
 * What a fallback shows while it works in a run's place. It is one sight ahead and no more: where all must be seen, none is
 * lost on a slow reader, and none heaps up.
 */
export class Understudy {
  /** The fallback's run. */
  readonly runId: string;
  readonly #stop = new AbortController();
  readonly #onNews: () => void;
  #next: Sight | undefined;
  #ended = false;
  #taken: (() => void) | undefined;
  #changed: (() => void) | undefined;

  /** @param onNews called when there is something to take, or nothing will come any more */
  constructor(runId: string, sights: (signal: AbortSignal) => AsyncIterable<Sight>, onNews: () => void) {
    this.runId = runId;
    this.#onNews = onNews;
    void this.#follow(sights(this.#stop.signal));
  }

  take(): Sight | undefined {
    const next = this.#next;
    this.#next = undefined;
    this.#taken?.();
    return next;
  }

  /** What is still to come, up to the fallback's end. */
  async *rest(): AsyncGenerator<Sight, void, undefined> {
    for (;;) {
      const next = this.take();
      if (next !== undefined) {
        yield next;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
      }
    }
  }

  close(): void {
    this.#stop.abort();
    this.#taken?.();
  }

  async #follow(sights: AsyncIterable<Sight>): Promise<void> {
    try {
      for await (const sight of sights) {
        if (this.#stop.signal.aborted) {
          return;
        }
        const taken = Promise.withResolvers<void>();
        this.#taken = taken.resolve;
        this.#next = sight;
        this.#tell();
        await taken.promise;
      }
    } catch {
      // The run that it works for tells what becomes of it.
    } finally {
      this.#ended = true;
      this.#tell();
    }
  }

  #tell(): void {
    this.#changed?.();
    this.#onNews();
  }
}
