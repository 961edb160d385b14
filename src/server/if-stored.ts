import { JournalUnavailableError, journalUnavailable } from "../runs/index.ts";

/** What comes of a change. @throws ConnectError UNAVAILABLE when the journal does not take it */
export async function ifStored<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    throw error instanceof JournalUnavailableError ? journalUnavailable(error) : error;
  }
}
