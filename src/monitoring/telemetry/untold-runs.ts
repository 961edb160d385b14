import type { Clock } from "../../clock.ts";
import { isTerminal, type Journal, type Logger, pastChanges, type RunObserver } from "../../runs/index.ts";
import type { ExportMark } from "./export-marks.ts";

const pageSize = 500;

/** So many are looked at: some 100 ms before the server starts. */
const mostFound = 20_000;

/** So many are told again at most, those first that were accepted last: as many spans as may wait for a receiver. */
const mostTold = 10_000;

/** How long before the last of them ended others may have whose spans nobody was sent: as long as receivers may be away. */
const unsentMs = 600_000;

/** Runs that are read between two turns of the event loop: some milliseconds. */
const runsPerTurn = 20;

export interface UntoldRunsOptions {
  readonly journal: Pick<Journal, "listRuns" | "read">;
  readonly mark: ExportMark;
  readonly observer: Required<Pick<RunObserver, "retold">>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Runs that ended in an earlier process whose spans may not have been taken: no start finds them by itself, as they are not
 * open any more.
 */
export class UntoldRuns {
  readonly #options: UntoldRunsOptions;
  readonly #runIds: readonly string[];
  #closing = false;
  #telling: Promise<unknown> = Promise.resolve();

  private constructor(options: UntoldRunsOptions, runIds: readonly string[]) {
    this.#options = options;
    this.#runIds = runIds;
  }

  /** Before anything happens to runs in this process: what happens then is told by itself. */
  static async find(options: UntoldRunsOptions): Promise<UntoldRuns> {
    const { journal, mark } = options;
    const runIds: string[] = [];
    let beforePosition: number | undefined;
    for (let looked = 0; looked < mostFound; looked += pageSize) {
      const rows = await journal.listRuns(
        { createdSinceMs: mark.openMs },
        { limit: pageSize, ...(beforePosition !== undefined && { beforePosition }) },
      );
      for (const { runId, state } of rows) if (isTerminal(state)) runIds.push(runId);
      beforePosition = rows.at(-1)?.position;
      if (rows.length < pageSize) break;
    }
    for (const runId of mark.openRunIds) {
      const { run } = await pastChanges(journal, runId);
      if (run !== undefined && isTerminal(run.state)) runIds.push(runId);
    }
    return new UntoldRuns(options, [...new Set(runIds)]);
  }

  /** Tells of them, beside what else the server does. Answers whether nothing is left to tell of. */
  tell(): Promise<boolean> {
    const { log } = this.#options;
    const telling = this.#tellAll().catch((error: unknown) => {
      log.warn({ err: error }, "runs that had ended could not be read again for their traces");
      return true;
    });
    this.#telling = telling;
    return telling;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#telling;
  }

  async #tellAll(): Promise<boolean> {
    const { journal, mark, observer, clock, log } = this.#options;
    let told = 0;
    let newestMs = Number.NEGATIVE_INFINITY;
    for (const [i, runId] of this.#runIds.entries()) {
      if (i % runsPerTurn === runsPerTurn - 1) await new Promise<void>((resolve) => clock.setImmediate(resolve));
      if (this.#closing) return false;
      const { run, changes } = await pastChanges(journal, runId);
      if (run === undefined || run.lastEventMs < mark.toldMs || run.lastEventMs < newestMs - unsentMs) continue;
      if (told === mostTold) {
        log.warn({ most: mostTold }, "more runs have ended than spans are exported of again: those of some are lost");
        break;
      }
      told++;
      newestMs = Math.max(newestMs, run.lastEventMs);
      observer.retold(run, changes);
    }
    return true;
  }
}
