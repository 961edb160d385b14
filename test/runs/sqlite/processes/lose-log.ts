// Plays a disk that loses what it was asked to keep: the sync after "one" fails, and the log's last page is then zeros.
// Says what the storage, in this thread or in one of its own, makes of it, as JSON.
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../../../../src/clock.ts";
import { openSqliteStorage, openSqliteThread } from "../../../../src/runs/sqlite/index.ts";
import { sync } from "./losing-sync.ts";

const [, , directory = "", where] = process.argv;
const { journal, close } =
  where === "thread"
    ? await openSqliteThread({
        directory,
        clock: systemClock,
        syncModule: new URL("./losing-sync.ts", import.meta.url),
      })
    : openSqliteStorage({ directory, clock: systemClock, sync });
const append = (stream: string, impatient = false): Promise<string> =>
  journal.append([{ stream, expectedSequence: 0, records: [Uint8Array.of(1)] }], { impatient }).then(
    () => "stored",
    (error: Error) => error.name,
  );
const one = await append("one");
writeFileSync(join(directory, "losing"), "");
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
const size = where === "thread" ? { size: before } : {};
console.log(JSON.stringify({ one, two: await two, message, impatient, late, locked, untouched, ...size }));
