import { runStream, type StreamAppend } from "../ports/journal.ts";

/** An entry in the one ordered queue of a storage. */
export interface Operation {
  /** Rather given up than kept while the storage fails. */
  readonly impatient: boolean;
  /** What it appends; empty when it does something else. */
  readonly appends: readonly StreamAppend[];
  /** The run whose payload it stores, if that is what it does. */
  readonly payloadOf?: string;

  /** Does it, in the transaction of its batch; when that is rolled back, it is done again. @throws when it fails alone */
  apply(): void;

  /** Ends it, in order: it is durable, or it has failed. Never throws. */
  settle(failure: Error | undefined): void;
}

/**
 * Takes out of a queue what does not want to wait, and what would be wrong without that: later appends to the same
 * streams, and payloads of runs that now will not exist.
 */
export function giveUpImpatient<Entry extends Operation>(queue: readonly Entry[]): { kept: Entry[]; givenUp: Entry[] } {
  const lost = new Set<string>();
  const unborn = new Set<string>();
  const late = new Set<Entry>();
  for (const entry of queue) {
    if (entry.impatient || entry.appends.some(({ stream }) => lost.has(stream))) {
      late.add(entry);
      for (const { stream, expectedSequence, records } of entry.appends) {
        if (records.length > 0) {
          lost.add(stream);
        }
        if (expectedSequence === 0) {
          unborn.add(stream);
        }
      }
    }
  }
  const kept: Entry[] = [];
  const givenUp: Entry[] = [];
  for (const entry of queue) {
    const orphaned = entry.payloadOf !== undefined && unborn.has(runStream(entry.payloadOf));
    (orphaned || late.has(entry) ? givenUp : kept).push(entry);
  }
  return { kept, givenUp };
}
