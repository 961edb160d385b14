import type { CheckpointThread } from "./checkpoint-thread.ts";

/**
 * How much is written to the log before it starts over. Larger logs copy a page that is written often fewer times;
 * smaller ones are read faster at the next start.
 */
const logBytes = 32 * 1024 * 1024;

export interface CheckpointsOptions {
  readonly thread: CheckpointThread;
  /** Keeps commits from being made. */
  readonly pause: () => void;
  readonly resume: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Keeps the log short under any load. SQLite lets a log start over only at a moment at which all of it has been copied
 * and nobody reads from it; beside a busy writer that moment never comes, and the log grows without bound. So when
 * enough has been written, most of it is copied beside the writer, then the writer pauses for what came in meanwhile,
 * a few milliseconds, and the log starts over in the same file, whose blocks then need no new metadata at each sync. A
 * writer that is faster than the copy pauses as soon as it has written as much again.
 * Our own reads end within one turn of the event loop and are never in the way; another program that reads for long is,
 * and then it is tried again after as much as before has been written.
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions;
  #writtenBytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
  }

  /** About so much has been written to the log. */
  wrote(bytes: number): void {
    this.#writtenBytes += bytes;
    if (this.#writtenBytes < logBytes || this.#closed) {
      return;
    }
    if (this.#running !== undefined) {
      this.#options.pause();
      return;
    }
    this.#writtenBytes = 0;
    this.#running = this.#startOver().then(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when the storage is known to hold. Nobody may write until then. */
  async prove(): Promise<void> {
    await this.#options.thread.run("prove");
    this.#writtenBytes = 0;
  }

  /** Gives the log free for whoever closes the database last. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#options.thread.run("close").catch(() => undefined);
  }

  async #startOver(): Promise<void> {
    const { thread, pause, resume, failed } = this.#options;
    try {
      await thread.run("copy");
      pause();
      await thread.run("startOver");
      resume();
    } catch (error) {
      // The writer first learns of the failure, so that it does not go on in between.
      failed(error);
      resume();
    }
  }
}
