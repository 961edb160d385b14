import { createInflate, type Inflate } from "node:zlib";

/** Inflates a stream as it comes, only to see how much it is; a broken one is as much as there is of it. */
export class BoundedInflate {
  readonly #most: number;
  readonly #inflate: Inflate = createInflate({ chunkSize: 64 * 1024 });
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(most: number) {
    this.#most = most;
    const over = (): void => this.#wake?.();
    this.#inflate.on("data", (bytes: Buffer) => {
      this.#bytes += bytes.length;
      // More of it would only take time.
      if (this.exceeded) this.#inflate.destroy();
    });
    this.#inflate.on("error", over).on("close", over);
  }

  /** Whether it is more than it may be. */
  get exceeded(): boolean {
    return this.#bytes > this.#most;
  }

  /** Resolves when that much of it has been seen. */
  write(compressed: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#inflate.writable) {
        resolve();
        return;
      }
      this.#wake = resolve;
      this.#inflate.write(compressed, () => resolve());
    });
  }

  close(): void {
    this.#inflate.destroy();
  }
}
