/** Stands for the sync of a storage: tests hold it, fail it, and let it go on. */
export class TestDisk {
  /** How often a sync was begun. */
  syncs = 0;
  #failure: Error | undefined;
  #held: PromiseWithResolvers<void> | undefined;

  readonly sync = async (): Promise<void> => {
    this.syncs++;
    await this.#held?.promise;
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  };

  /** From now on syncs take until `release`. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /** From now on syncs fail. */
  fail(message = "the disk is broken"): void {
    this.#failure = new Error(message);
  }

  mend(): void {
    this.#failure = undefined;
  }
}
