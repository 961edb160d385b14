import { statSync } from "node:fs";
import type { Clock, Timer } from "./clock.ts";

/** The longest time until a change is noticed, and so often that looking costs nothing. */
const intervalMs = 10_000;

/**
 * Looks now and then whether files have changed. By their state and not by events of the file system: those do not tell
 * when a link on the way is set to another directory, as Kubernetes does it, and not on every kind of mount. The first look
 * counts as a change: whoever has read the files before cannot know whether they are still the same.
 */
export class FileChanges {
  readonly #files: readonly string[];
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #state = "";
  #timer: Timer | undefined;

  constructor(options: { readonly files: readonly string[]; readonly clock: Clock; readonly onChange: () => void }) {
    this.#files = options.files;
    this.#clock = options.clock;
    this.#onChange = options.onChange;
    this.#wait();
  }

  /** Looks at once. */
  check(): void {
    const state = this.#look();
    if (state === this.#state) return;
    this.#state = state;
    this.#onChange();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#wait();
      this.check();
    }, intervalMs);
  }

  /** A file that is written anew, or another one under its name, has another number, time or size. */
  #look(): string {
    return this.#files
      .map((file) => {
        const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
        return stats === undefined
          ? "none"
          : `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
      })
      .join("\n");
  }
}
