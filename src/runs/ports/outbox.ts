import type { RunRecord } from "../run-record.ts";
import type { StreamAppend } from "./journal.ts";

/** Keeps what others are to be told about the ends of runs, until they have been told. */
export interface Outbox {
  /** What is appended together with the last event of a run that ends now; undefined where nobody is told. */
  endOf(run: RunRecord): StreamAppend | undefined;

  /** That append is durable. Never throws. */
  stored(run: RunRecord): void;
}
