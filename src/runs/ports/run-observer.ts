import type { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { OpenAttempt, RunEventBody, RunEventKind, RunRecord } from "../run-record.ts";

/** One event of a run, with what it found and what came of it. */
export interface RunChange {
  readonly body: RunEventBody;
  readonly timeMs: number;
  /** UNSPECIFIED before the first. */
  readonly before: RunState;
  readonly after: RunState;
  /** Since when the run had been in the state from before. */
  readonly sinceMs: number;
  /** The attempt that was open before, if any. */
  readonly attempt: OpenAttempt | undefined;
}

/** Watches over what happens to runs, for metrics and traces. It must not throw. */
export interface RunObserver {
  /** Kinds of events that it need not be told of: nothing is kept of those until they are durable. Default: none. */
  readonly ignores?: ReadonlySet<RunEventKind>;

  /**
   * Where it is there, told before `found` of all that has happened to that run: the earlier process may have ended
   * before it could tell anybody of what happened last.
   */
  retold?(run: Readonly<RunRecord>, changes: readonly RunChange[]): void;

  /** An earlier process has left this run, and it is open. Nothing of what follows has happened to it yet. */
  found(run: Readonly<RunRecord>): void;

  /**
   * These events, in order, are durable, and those among them that it ignores. More may have happened to the run meanwhile.
   *
   * @param commitMs how long that took
   */
  committed(run: Readonly<RunRecord>, changes: readonly RunChange[], commitMs: number): void;
}
