import { openReadOnly } from "./open-read-only.ts";
import { unpackRecords } from "./record-chunk.ts";

/**
 * The records of a stream of a data directory's journal, or of the last one by name whose name begins so, also beside a server
 * that writes it; undefined where there is none.
 *
 * @throws JournalOpenError
 */
export function readLastStream(directory: string, prefix: string): readonly Uint8Array[] | undefined {
  const { database } = openReadOnly(directory);
  try {
    const find = "SELECT id FROM streams WHERE substr(name, 1, ?) = ? AND id < 0 ORDER BY name DESC LIMIT 1";
    const stream = database.prepare(find).get(prefix.length, prefix)?.["id"];
    if (stream === undefined) return undefined;
    const events = database.prepare("SELECT count, data FROM events WHERE stream = ? ORDER BY last").all(stream);
    return events.flatMap(({ count, data }) => unpackRecords(data as Uint8Array, Number(count)));
  } finally {
    database.close();
  }
}
