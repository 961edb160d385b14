/** Where runs and calls wait for the bench, and hear when it wants something said. */
export class Hold {
  readonly #released = Promise.withResolvers<void>();
  readonly #speakers = new Set<() => void>();
  size = 0;

  /** Resolves once all are released. */
  async wait(): Promise<void> {
    this.size++;
    await this.#released.promise;
  }

  release(): void {
    this.#released.resolve();
  }

  /** Calls back each time something shall be said. */
  onEmit(speak: () => void): void {
    this.#speakers.add(speak);
  }

  emit(): void {
    for (const speak of this.#speakers) {
      speak();
    }
  }
}
