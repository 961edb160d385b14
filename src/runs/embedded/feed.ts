import type { Feed, FeedHint } from "../ports/feed.ts";

export interface EmbeddedFeedOptions {
  /** Told when a listener throws, which it should not. Must not throw itself. */
  readonly onError: (error: unknown, runId: string) => void;
}

/** A feed within this process: a hint reaches everybody who listens before `publish` returns. */
export function createEmbeddedFeed(options: EmbeddedFeedOptions): Feed {
  return new EmbeddedFeed(options.onError);
}

type Listener = (hint: FeedHint) => void;

class EmbeddedFeed implements Feed {
  readonly #onError: (error: unknown, runId: string) => void;
  /** By run, each subscription under its number. */
  readonly #listeners = new Map<string, Map<number, Listener>>();
  #subscriptions = 0;

  constructor(onError: (error: unknown, runId: string) => void) {
    this.#onError = onError;
  }

  publish(runId: string, hint: FeedHint): void {
    const listeners = this.#listeners.get(runId);
    if (listeners === undefined) {
      return;
    }
    const newest = this.#subscriptions;
    // A map passes over what is removed on the way, but not over what is added.
    for (const [subscription, listener] of listeners) {
      if (subscription > newest) {
        return;
      }
      try {
        listener(hint);
      } catch (error) {
        this.#onError(error, runId);
      }
    }
  }

  subscribe(runId: string, listener: Listener): () => void {
    const subscription = ++this.#subscriptions;
    let listeners = this.#listeners.get(runId);
    if (listeners === undefined) {
      listeners = new Map();
      this.#listeners.set(runId, listeners);
    }
    listeners.set(subscription, listener);
    return () => this.#unsubscribe(runId, subscription);
  }

  listeners(runId: string): number {
    return this.#listeners.get(runId)?.size ?? 0;
  }

  #unsubscribe(runId: string, subscription: number): void {
    const listeners = this.#listeners.get(runId);
    if (listeners?.delete(subscription) && listeners.size === 0) {
      this.#listeners.delete(runId);
    }
  }
}
