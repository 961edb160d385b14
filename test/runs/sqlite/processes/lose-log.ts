// Plays a disk that loses what it was asked to keep: the sync after "one" fails, and the log's last page is then zeros.
// Says what the storage makes of it, as JSON.
import { fstatSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../../../../src/clock.ts";
import { openSqliteStorage } from "../../../../src/runs/sqlite/index.ts";

const directory = process.argv[2] ?? "";
let losing = false;
const { journal, close } = openSqliteStorage({
  directory,
  clock: systemClock,
  sync: async (file) => {
    if (losing) {
      const { size } = fstatSync(file);
      writeSync(file, Buffer.alloc(4096), 0, 4096, size - 4096);
      throw new Error("the disk has lost a page");
    }
  },
});
const append = (stream: string, impatient = false): Promise<string> =>
  journal.append([{ stream, expectedSequence: 0, records: [Uint8Array.of(1)] }], { impatient }).then(
    () => "stored",
    (error: Error) => error.name,
  );
const one = await append("one");
losing = true;
const restartNeeded = new Promise<string>((resolve) => {
  journal.onStatus((status) => {
    if (status.kind === "failing" && status.needsRestart === true) {
      resolve(status.cause.message);
    }
  });
});
const two = append("two");
const message = await restartNeeded;
const before = statSync(join(directory, "retake.db")).size;
const impatient = await append("three", true);
await close();
const late = await append("four");
// The lock stays until the process ends.
let locked = false;
try {
  new DatabaseSync(join(directory, "lock.db")).exec("BEGIN EXCLUSIVE");
} catch {
  locked = true;
}
const untouched = before === statSync(join(directory, "retake.db")).size;
console.log(JSON.stringify({ one, two: await two, message, impatient, late, locked, untouched }));
