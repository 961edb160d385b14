import { decodeEvent } from "./events.ts";
import { type Journal, runStream } from "./ports/journal.ts";
import type { RunChange } from "./ports/run-observer.ts";
import { applyEvent, firstRecord, type RunRecord } from "./run-record.ts";

/** Events that are read at once. */
const pageSize = 500;

/** A run as its journal tells it, and how it has come to that. */
export interface PastRun {
  /** Undefined if there is none. */
  readonly run: RunRecord | undefined;
  readonly changes: readonly RunChange[];
}

/** What has happened to a run up to now, as whoever watched over it was told. */
export async function pastChanges(journal: Pick<Journal, "read">, runId: string): Promise<PastRun> {
  const stream = runStream(runId);
  const changes: RunChange[] = [];
  let run: RunRecord | undefined;
  for (;;) {
    const records = await journal.read(stream, changes.length, pageSize);
    for (const record of records) {
      const event = decodeEvent(stream, record);
      const { state: before = 0, stateSinceMs, attempt } = run ?? {};
      run = run === undefined ? firstRecord(event) : applyEvent(run, event);
      const { state: after, lastEventMs: timeMs } = run;
      // A record takes no event without a body.
      const body = event.event as RunChange["body"];
      changes.push({ body, timeMs, before, after, sinceMs: stateSinceMs ?? timeMs, attempt });
    }
    if (records.length < pageSize) return { run, changes };
  }
}
