// Opens the storage in the directory that it is given, stores a record, says so, and holds the storage.
import { systemClock } from "../../../../src/clock.ts";
import { openSqliteStorage } from "../../../../src/runs/sqlite/index.ts";

const { journal } = openSqliteStorage({ directory: process.argv[2] ?? "", clock: systemClock });
await journal.append([{ stream: "held", expectedSequence: 0, records: [Uint8Array.of(1)] }]);
process.stdout.write("open\n");
process.stdin.resume();
