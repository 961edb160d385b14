import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { CheckpointThread } from "../../../src/runs/sqlite/checkpoint-thread.ts";
import { openSqliteStorage, type SqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const megabyte = 1024 * 1024;

describe("checkpoints", () => {
  function openStorage(directory: string): SqliteStorage {
    const storage = openSqliteStorage({ directory, clock: systemClock, sync: async () => undefined });
    onTestFinished(() => storage.close());
    return storage;
  }

  let number = 0;

  /** Stores about so many bytes; returns how large the log became meanwhile. */
  async function write({ payloads, journal }: SqliteStorage, directory: string, bytes: number): Promise<number> {
    let largest = 0;
    for (let written = 0; written < bytes; written += megabyte) {
      for (let part = 0; part < 4; part++) {
        payloads.put(`run${number++}`, new Uint8Array(megabyte / 4));
      }
      await journal.append([{ stream: `s${number}`, expectedSequence: 0, records: [Uint8Array.of(1)] }]);
      largest = Math.max(largest, statSync(join(directory, "retake.db-wal")).size);
    }
    return largest;
  }

  it("keep the log short while it is written without a pause", async () => {
    const directory = temporaryDirectory();
    const storage = openStorage(directory);
    const largest = await write(storage, directory, 120 * megabyte);

    expect(largest).toBeLessThan(100 * megabyte);
    expect(storage.journal.status).toEqual({ kind: "available" });
  });

  it("wait for another program that reads for long, and cut the log to size after it", async () => {
    const directory = temporaryDirectory();
    const storage = openStorage(directory);
    const reader = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
    onTestFinished(() => {
      if (reader.isOpen) {
        reader.close();
      }
    });
    reader.exec("BEGIN; SELECT count(*) FROM streams");
    const grown = await write(storage, directory, 120 * megabyte);
    expect(grown).toBeGreaterThan(100 * megabyte);
    expect(storage.journal.status).toEqual({ kind: "available" });

    reader.close();
    await write(storage, directory, 80 * megabyte);
    expect(statSync(join(directory, "retake.db-wal")).size).toBeLessThan(100 * megabyte);
  });

  it("do not stand in the way of reads, nor do reads in theirs", async () => {
    const directory = temporaryDirectory();
    const storage = openStorage(directory);
    await storage.journal.append([
      { stream: "a", expectedSequence: 0, records: [Uint8Array.of(1)] },
      { stream: "a", expectedSequence: 1, records: [Uint8Array.of(2)] },
    ]);
    await storage.journal.append([{ stream: "a", expectedSequence: 2, records: [Uint8Array.of(3)] }]);
    let reads = 0;
    let writing = true;
    const reading = (async () => {
      while (writing) {
        // Fewer than there are: the rest must not stay open and hold the log.
        await storage.journal.read("a", 0, 1);
        reads++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const largest = await write(storage, directory, 120 * megabyte);
    writing = false;
    await reading;

    expect(largest).toBeLessThan(100 * megabyte);
    expect(reads).toBeGreaterThan(100);
  });
});

describe("CheckpointThread", () => {
  function startThread(path: string): CheckpointThread {
    const thread = new CheckpointThread(path, "/data");
    onTestFinished(() => thread.terminate());
    return thread;
  }

  it("passes on what SQLite says, with its code", async () => {
    const path = join(temporaryDirectory(), "x.db");
    writeFileSync(path, "no database at all, but text that is long enough to look at");

    await expect(startThread(path).run("copy")).rejects.toMatchObject({
      message: "file is not a database",
      errcode: 26,
    });
  });

  it("gives up what it was doing when it ends, and starts again for the next", async () => {
    const path = join(temporaryDirectory(), "x.db");
    const thread = startThread(path);
    const first = thread.run("copy");
    await Promise.all([thread.terminate(), expect(first).rejects.toThrow(/the checkpoint thread has ended/)]);

    expect(await thread.run("copy")).toBe(false);
  });

  it("is not started to close what was never opened", async () => {
    expect(await startThread("/nowhere/x.db").run("close")).toBe(false);
  });
});
