import type { Clock } from "../clock.ts";
import type { Logger } from "./logger.ts";
import type { Artifacts } from "./ports/artifacts.ts";
import { type Journal, runStream } from "./ports/journal.ts";
import { Sweeper } from "./sweeper.ts";

export interface ArtifactTimes {
  /** How long an artifact stays that no run keeps. */
  readonly gracePeriodMs: number;
  /** How long an upload that has broken off can be continued. */
  readonly uploadTimeoutMs: number;
}

export interface ArtifactRetentionOptions {
  readonly artifacts: Artifacts;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  readonly times: ArtifactTimes;
}

const sweepIntervalMs = 60_000;
/** Files that are removed one after the other before others get their turn. */
const batchSize = 50;
/** Keepers that one sweep looks after: a few milliseconds of the journal. */
const keepersAtOnce = 500;
/** A run keeps its artifacts before the journal knows of it, and does not take longer than this to become one. */
const acceptanceMs = 10 * 60_000;

/**
 * Removes artifacts that no run keeps, and uploads that nobody continues. Runs let go of theirs when they are removed;
 * those that never came to be, because the process ended in between, are found here.
 */
export class ArtifactRetention {
  readonly #options: ArtifactRetentionOptions;
  readonly #sweeper: Sweeper;
  /** Where the next sweep goes on with the keepers. */
  #afterRunId = "";

  constructor(options: ArtifactRetentionOptions) {
    this.#options = options;
    this.#sweeper = new Sweeper({
      clock: options.clock,
      intervalMs: sweepIntervalMs,
      sweep: () => this.sweep(),
      failed: (error) => options.log.warn({ err: error }, "artifacts could not be removed; tried again later"),
    });
  }

  start(): void {
    this.#sweeper.start();
  }

  stop(): Promise<void> {
    return this.#sweeper.stop();
  }

  /** Removes all that is due; returns how many artifacts that were. */
  async sweep(): Promise<number> {
    const { artifacts, clock, times } = this.#options;
    await this.#releaseGone();
    const removed = await this.#repeat(() => artifacts.removeUnkept(clock.now() - times.gracePeriodMs, batchSize));
    await this.#repeat(() => artifacts.removeUploads(clock.now() - times.uploadTimeoutMs, batchSize));
    return removed;
  }

  async #repeat(removeSome: () => Promise<number>): Promise<number> {
    let removed = 0;
    while (!this.#sweeper.stopped) {
      const some = await removeSome();
      removed += some;
      if (some < batchSize) {
        break;
      }
    }
    return removed;
  }

  /** Lets go of what runs keep that the journal does not know. */
  async #releaseGone(): Promise<void> {
    const { artifacts, journal, clock } = this.#options;
    const keepers = await artifacts.listKeepers(this.#afterRunId, keepersAtOnce);
    const gone: string[] = [];
    for (const { runId, sinceMs } of keepers) {
      if (this.#sweeper.stopped) {
        return;
      }
      if (sinceMs < clock.now() - acceptanceMs && (await journal.read(runStream(runId), 0, 1)).length === 0) {
        gone.push(runId);
      }
    }
    if (gone.length > 0) {
      await artifacts.release(gone);
    }
    this.#afterRunId = keepers.length < keepersAtOnce ? "" : (keepers.at(-1)?.runId ?? "");
  }
}
