// Writes 80 MB, so that the log starts over twice. Says when it begins and when it has ended.
import { systemClock } from "../../../../src/clock.ts";
import { openSqliteStorage } from "../../../../src/runs/sqlite/index.ts";

const { journal, payloads, close } = openSqliteStorage({ directory: process.argv[2] ?? "", clock: systemClock });
await journal.append([{ stream: "a", expectedSequence: 0, records: [Uint8Array.of(1)] }]);
process.stdout.write("ready\n");
for (let index = 1; index <= 100; index++) {
  for (let part = 0; part < 4; part++) {
    payloads.put(`run${index}`, new Uint8Array(200_000).fill(index).fill(part, 0, 1));
  }
  await journal.append([{ stream: "a", expectedSequence: index, records: [Uint8Array.of(1)] }]);
}
process.stdout.write("done\n");
await close();
