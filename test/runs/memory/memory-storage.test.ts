import { describe, expect, it } from "vitest";
import { createMemoryStorage, UnsyncedError } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { describeJournal } from "../ports/journal-contract.ts";
import { describePayloads } from "../ports/payloads-contract.ts";
import type { OpenStorage } from "../ports/storage-harness.ts";

const open: OpenStorage = (clock, sync) => createMemoryStorage({ clock, durable: sync });

describeJournal("the storage in memory", open);
describePayloads("the storage in memory", open);

it("keeps what it has written when only the sync has failed, and refuses what came after", async () => {
  const clock = createVirtualClock();
  let error: Error | undefined = new UnsyncedError("the disk does not answer");
  const { journal } = createMemoryStorage({
    clock,
    durable: async () => {
      if (error !== undefined) throw error;
    },
  });
  const told: string[] = [];
  const order = (name: string) =>
    journal.order(
      [{ stream: `run/${name}`, expectedSequence: 0, records: [new Uint8Array(1)] }],
      (failure) => told.push(`${name}: ${failure === undefined ? "stored" : "refused"}`),
      { impatient: true },
    );
  order("written");
  await clock.advance(0);
  order("late");
  // It becomes full: what is on it stays there.
  error = new Error("the disk is full");
  await clock.advance(1_000);
  order("later");
  error = undefined;
  await clock.advance(10_000);
  expect(told).toEqual(["late: refused", "later: refused", "written: stored"]);
  expect(await journal.listStreams("run/", "", 9)).toEqual(["run/written"]);
});

describe("a crash of the storage in memory", () => {
  const records = [new Uint8Array([1])];

  /** A storage whose second sync does not end. */
  async function syncing() {
    const clock = createVirtualClock();
    let syncs = 0;
    const storage = createMemoryStorage({
      clock,
      durable: () => (++syncs === 1 ? Promise.resolve() : new Promise(() => undefined)),
    });
    const { sha256 } = storage.payloads.put("old", new Uint8Array([7]));
    void storage.journal.append([{ stream: "run/old", expectedSequence: 0, records }]);
    await clock.advance(0);
    const told: string[] = [];
    storage.journal.order([{ stream: "run/new", expectedSequence: 0, records }], () => told.push("settled"));
    await clock.advance(0);
    storage.journal.order([{ stream: "run/newer", expectedSequence: 0, records }], () => told.push("settled"));
    return { clock, storage, told, sha256 };
  }

  it.each([
    { batchIsStored: false, found: ["run/old"] },
    { batchIsStored: true, found: ["run/new", "run/old"] },
  ])(
    "leaves what was durable, and a batch that has reached the disk: $batchIsStored",
    async ({ batchIsStored, found }) => {
      const { clock, storage, told, sha256 } = await syncing();
      const next = storage.crash({ clock }, batchIsStored);
      expect(await next.journal.listStreams("", "", 10)).toEqual(found);
      expect(await next.payloads.get("old", sha256)).toEqual(new Uint8Array([7]));

      storage.journal.order([{ stream: "run/late", expectedSequence: 0, records }], () => told.push("settled"));
      await next.journal.append([{ stream: "run/old", expectedSequence: 1, records }]);
      await clock.advance(60_000);
      expect(await next.journal.listStreams("", "", 10)).toEqual(found);
      expect(told).toEqual([]);
    },
  );

  it("leaves artifacts", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const owner = { tenant: "default", subject: "alice" };
    const content = (async function* () {
      yield new Uint8Array([1, 2]);
    })();
    const { id } = await storage.artifacts.write(content, { name: "a", mediaType: "text/plain", owner });
    expect(await storage.crash({ clock }).artifacts.get(id)).toMatchObject({ id, size: 2 });
  });
});
