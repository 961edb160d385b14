import { expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { recordsOf, streamsNamed } from "../../src/runs/named-streams.ts";

const { journal } = createMemoryStorage({ clock: systemClock });

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

it("all streams of a prefix are found, and all records of a stream, however many pages they take", async () => {
  const names = Array.from({ length: 1001 }, (_, n) => `many/${String(n).padStart(4, "0")}`);
  await journal.append([
    ...["less", "more/0"].map((stream) => ({ stream, expectedSequence: 0, records: [Uint8Array.of(1)] })),
    ...names.map((stream) => ({ stream, expectedSequence: 0, records: [Uint8Array.of(1)] })),
  ]);
  expect(await collect(streamsNamed(journal, "many/"))).toEqual(names);
  expect(await collect(streamsNamed(journal, "none/"))).toEqual([]);
  const records = Array.from({ length: 1000 }, (_, n) => Uint8Array.of(n % 256));
  await journal.append([{ stream: "long", expectedSequence: 0, records }]);
  const sequences = (await collect(recordsOf(journal, "long", 3))).map(({ sequence }) => sequence);
  expect(sequences).toEqual(Array.from({ length: 997 }, (_, n) => n + 4));
  expect(await collect(recordsOf(journal, "unknown"))).toEqual([]);
});
