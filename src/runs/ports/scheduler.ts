/**
 * Decides when a run takes its next turn. At least once: a turn may come twice, too often or while another one of the
 * same run is under way, never too early and never not at all; what a turn does depends on the run alone.
 */
export interface Scheduler {
  /**
   * Asks for a turn, no earlier than `notBeforeMs` (ms since the epoch; the past means as soon as possible). Among turns
   * that are due, a higher priority goes first, then the older wish. A later wish replaces an earlier one of the same
   * run only if it is due sooner; handing out a turn fulfils the wish. A wish for `Infinity` is none.
   *
   * @param priority the run's; whoever does not know it leaves that to the wish that there is, or it is 0
   * @throws RangeError when the time is not a number
   */
  wake(runId: string, notBeforeMs: number, priority?: number): void;

  /** Drops the wish of a run that has ended. */
  forget(runId: string): void;

  /**
   * Starts handing out turns; wishes made before are kept. The handler never rejects.
   *
   * @throws Error when called twice, after `stop` too
   */
  start(turn: (runId: string) => Promise<void>): void;

  /** Hands out no more turns; resolves when those that were handed out have ended. */
  stop(): Promise<void>;
}
