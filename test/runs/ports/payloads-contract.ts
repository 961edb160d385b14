import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JournalUnavailableError } from "../../../src/runs/ports/journal.ts";
import type { Payloads } from "../../../src/runs/ports/payloads.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import { bytes, creation, type OpenStorage, records, type Storage, settled } from "./storage-harness.ts";
import { TestDisk } from "./test-disk.ts";

/** What every store of payloads has to hold, whatever it is made of. */
export function describePayloads(name: string, open: OpenStorage): void {
  describe(`${name} as payloads`, () => {
    let clock: VirtualClock;
    let disk: TestDisk;
    let storage: Storage;
    let payloads: Payloads;

    beforeEach(() => {
      clock = createVirtualClock();
      disk = new TestDisk();
      storage = open(clock, disk.sync);
      payloads = storage.payloads;
    });

    afterEach(async () => {
      disk.mend();
      disk.release();
      await storage.close();
    });

    async function put(runId: string, data: Uint8Array): Promise<Uint8Array> {
      const { sha256, stored } = payloads.put(runId, data);
      await stored;
      return sha256;
    }

    describe.each([
      ["small", 10],
      ["the largest in a table", 256 * 1024],
      ["the smallest in a file", 256 * 1024 + 1],
      ["large", 3 * 1024 * 1024],
    ])("%s", (_, length) => {
      const data = Uint8Array.from({ length }, (__, index) => (index * 7 + (index >> 8)) % 256);

      it("gives back what was put, under its digest", async () => {
        const sha256 = await put("run", data);
        await storage.journal.append([creation("run")]);

        expect(Buffer.from(sha256)).toEqual(createHash("sha256").update(data).digest());
        const found = await payloads.get("run", sha256);
        expect(Buffer.compare(found ?? new Uint8Array(), data)).toBe(0);
      });

      it("is found before any append too", async () => {
        const sha256 = await put("run", data);
        expect((await payloads.get("run", sha256))?.length).toBe(length);
      });

      it("may be put again, by its run and by others, and goes with each owner alone", async () => {
        const [sha256] = await Promise.all([put("a", data), put("a", data), put("b", data)]);
        await payloads.deleteRuns(["a"]);

        expect(await payloads.get("a", sha256)).toBeUndefined();
        expect((await payloads.get("b", sha256))?.length).toBe(length);
        await payloads.deleteRuns(["b", "never there"]);
        expect(await payloads.get("b", sha256)).toBeUndefined();
      });

      it("can be put anew once it is deleted", async () => {
        const sha256 = await put("a", data);
        await payloads.deleteRuns(["a"]);
        await put("a", data);

        expect((await payloads.get("a", sha256))?.length).toBe(length);
      });

      it("is not there when it is deleted at once, before it is stored", async () => {
        const { sha256, stored } = payloads.put("a", data);
        await stored;
        await payloads.deleteRuns(["a"]);

        expect(await payloads.get("a", sha256)).toBeUndefined();
      });
    });

    it("stores nothing of an empty payload, and knows it for every run", async () => {
      const { sha256, stored } = payloads.put("run", new Uint8Array());

      expect(sha256).toEqual(new Uint8Array());
      expect(stored).toBeUndefined();
      expect(await payloads.get("any", sha256)).toEqual(new Uint8Array());
    });

    it("knows nothing that nobody has put", async () => {
      const sha256 = await put("run", bytes("hello"));
      expect(await payloads.get("other", sha256)).toBeUndefined();
      expect(await payloads.get("run", new Uint8Array(32))).toBeUndefined();
    });

    it("makes a small payload durable no later than the next append", async () => {
      disk.hold();
      const { sha256, stored } = payloads.put("run", bytes("hello"));
      expect(stored).toBeUndefined();
      const appended = storage.journal.append([creation("run")]);
      await clock.advance(0);
      const found = payloads.get("run", sha256);

      expect(await settled(appended)).toBe("open");
      expect(await settled(found)).toBe("open");
      disk.release();
      await appended;
      expect(disk.syncs).toBe(1);
      expect(await found).toEqual(bytes("hello"));
    });

    it("stores no payload of a run whose impatient creation was rejected", async () => {
      disk.fail();
      const patient = storage.journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
      await settled(patient);
      const { sha256 } = payloads.put("run", bytes("hello"));
      await expect(storage.journal.append([creation("run")], { impatient: true })).rejects.toThrow(
        JournalUnavailableError,
      );
      disk.mend();
      await clock.advance(10_000);
      await patient;

      expect(await payloads.get("run", sha256)).toBeUndefined();
    });

    it("takes nothing after the storage is closed", async () => {
      const sha256 = await put("run", bytes("hello"));
      await storage.close();

      await expect(payloads.get("run", sha256)).rejects.toThrow(JournalUnavailableError);
      await expect(payloads.deleteRuns(["run"])).rejects.toThrow(JournalUnavailableError);
      const large = payloads.put("run", new Uint8Array(1024 * 1024));
      await (large.stored === undefined ? undefined : expect(large.stored).rejects.toThrow(JournalUnavailableError));
    });
  });
}
