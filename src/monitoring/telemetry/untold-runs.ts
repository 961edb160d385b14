import type { Clock } from "../../clock.ts";
import {
  isTerminal,
  type Journal,
  JournalUnavailableError,
  type Logger,
  openStates,
  pastChanges,
  type RunObserver,
  runPages,
} from "../../runs/index.ts";
import type { ExportMark } from "./export-marks.ts";

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
    const ended = new Set<string>();
    let looked = 0;
    for await (const rows of runPages(journal, { createdSinceMs: mark.openMs })) {
      for (const { runId, state } of rows) if (isTerminal(state)) ended.add(runId);
      looked += rows.length;
      if (looked >= mostFound) break;
    }
    for (const runId of await endedOf(journal, mark.openRunIds)) ended.add(runId);
    return new UntoldRuns(options, [...ended]);
  }

  /** Tells of them, beside what else the server does. Answers whether nothing is left to tell of. */
  tell(): Promise<boolean> {
    const telling = this.#tellAll();
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
      try {
        const { run, changes } = await pastChanges(journal, runId);
        if (run === undefined || run.lastEventMs < mark.toldMs || run.lastEventMs < newestMs - unsentMs) continue;
        if (told === mostTold) {
          log.warn({ most: mostTold }, "more runs have ended than spans are exported of again: those of some are lost");
          break;
        }
        told++;
        newestMs = Math.max(newestMs, run.lastEventMs);
        observer.retold(run, changes);
      } catch (error) {
        if (error instanceof JournalUnavailableError) {
          log.warn({ err: error }, "runs that had ended cannot be read for their traces: the next start does it again");
          return false;
        }
        log.warn(
          { err: error, run_id: runId },
          "a run that had ended cannot be read again for its trace, which is lost",
        );
      }
    }
    return true;
  }
}

/** Those of the runs that are not open any more, by the index: it takes less than to read them, most of which still are. */
async function endedOf(journal: Pick<Journal, "listRuns">, runIds: readonly string[]): Promise<ReadonlySet<string>> {
  const ended = new Set(runIds);
  if (ended.size === 0) return ended;
  for await (const rows of runPages(journal, { states: openStates })) {
    for (const { runId } of rows) ended.delete(runId);
    if (ended.size === 0) break;
  }
  return ended;
}
