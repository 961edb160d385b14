import type { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { type StorageCounts, StorageCountsSchema } from "../../../gen/retake/v1/storage_pb.js";
import { openStates } from "../run-record.ts";

/** Counts what a database holds; its files are counted by whoever looks at them. Reads all streams. */
export function countRows(database: DatabaseSync): StorageCounts {
  const count = (sql: string): bigint => BigInt(Number(database.prepare(sql).get()?.["count"] ?? 0));
  return create(StorageCountsSchema, {
    runs: count("SELECT count(*) AS count FROM streams WHERE id >= 0"),
    openRuns: count(`SELECT count(*) AS count FROM streams WHERE id >= 0 AND state IN (${openStates.join()})`),
    events: count("SELECT sum(last_sequence) AS count FROM streams WHERE id >= 0"),
    payloads: count("SELECT count(*) AS count FROM payloads"),
    databaseBytes: count("SELECT page_count * page_size AS count FROM pragma_page_count, pragma_page_size"),
  });
}
