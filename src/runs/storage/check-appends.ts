import type { StreamAppend } from "../ports/journal.ts";

/** Finds what no storage could take, before it shares a transaction with others. @throws RangeError */
export function checkAppends(appends: readonly StreamAppend[]): void {
  for (const { stream, expectedSequence, records, create } of appends) {
    if (!Number.isSafeInteger(expectedSequence) || expectedSequence < 0) {
      throw new RangeError(`stream ${stream} cannot be at record ${expectedSequence}`);
    }
    if (expectedSequence === 0 && records.length === 0) {
      throw new RangeError(`stream ${stream} begins with a record, and this append has none`);
    }
    if (expectedSequence > 0 && create !== undefined) {
      throw new RangeError(`stream ${stream} is created with its first record, not after record ${expectedSequence}`);
    }
  }
}
