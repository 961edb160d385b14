// Stores a record in the directory that it is given, says so, and leaves it to Node to end the process.
import { systemClock } from "../../../../src/clock.ts";
import { openSqliteThread } from "../../../../src/runs/sqlite/index.ts";

const { journal } = await openSqliteThread({ directory: process.argv[2] ?? "", clock: systemClock });
await journal.append([{ stream: "kept", expectedSequence: 0, records: [Uint8Array.of(1)] }]);
process.stdout.write("stored\n");
