import { expect, it } from "vitest";
import { ReplacedRecord } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array | undefined): string | undefined => data && new TextDecoder().decode(data);

it("is there for the next process, the newest alone", async () => {
  const { journal } = createMemoryStorage({ clock: createVirtualClock() });
  const record = new ReplacedRecord(journal, "thing/");
  expect(await record.open()).toBeUndefined();
  for (let count = 1; count <= 12; count++) await record.store(bytes(`${count}`));
  expect(await journal.listStreams("thing/", "", 10)).toEqual(["thing/12"]);
  const next = new ReplacedRecord(journal, "thing/");
  expect(text(await next.open())).toBe("12");
  await next.store(undefined);
  expect(await journal.listStreams("thing/", "", 10)).toEqual([]);
});

it("is the newest of those that a crash has left, by number, and the others go", async () => {
  const { journal } = createMemoryStorage({ clock: createVirtualClock() });
  for (const number of [9, 10]) {
    await journal.append([{ stream: `thing/${number}`, expectedSequence: 0, records: [bytes(`${number}`)] }]);
  }
  const record = new ReplacedRecord(journal, "thing/");
  expect(text(await record.open())).toBe("10");
  await expect.poll(() => journal.listStreams("thing/", "", 10)).toEqual(["thing/10"]);
});

it("holds up no start while what a crash has left cannot be deleted", async () => {
  const { journal } = createMemoryStorage({ clock: createVirtualClock() });
  for (const number of [1, 2]) {
    await journal.append([{ stream: `thing/${number}`, expectedSequence: 0, records: [bytes(`${number}`)] }]);
  }
  const never = new Promise<void>(() => undefined);
  journal.deleteStreams = () => never;
  const record = new ReplacedRecord(journal, "thing/");
  expect(text(await record.open())).toBe("2");
});

it("stays as it is where the journal cannot store the next one", async () => {
  const { journal } = createMemoryStorage({ clock: createVirtualClock() });
  const record = new ReplacedRecord(journal, "thing/");
  await record.store(bytes("one"));
  await journal.append([{ stream: "thing/2", expectedSequence: 0, records: [bytes("in the way")] }]);
  await expect(record.store(bytes("two"))).rejects.toThrow();
  expect(await journal.listStreams("thing/", "", 10)).toContain("thing/1");
});
