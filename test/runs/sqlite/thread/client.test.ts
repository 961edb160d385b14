import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../../src/clock.ts";
import { JournalUnavailableError } from "../../../../src/runs/ports/journal.ts";
import { openSqliteStorage } from "../../../../src/runs/sqlite/open-storage.ts";
import { StorageClient } from "../../../../src/runs/sqlite/thread/client.ts";
import { hostStorage } from "../../../../src/runs/sqlite/thread/host.ts";
import type { StorageReply, StorageRequest } from "../../../../src/runs/sqlite/thread/messages.ts";
import { describeJournal } from "../../ports/journal-contract.ts";
import { describePayloads } from "../../ports/payloads-contract.ts";
import { creation, type OpenStorage, records } from "../../ports/storage-harness.ts";
import { TestDisk } from "../../ports/test-disk.ts";

/** One way of a channel between two threads, within one: what is posted is copied, and arrives later, in order. */
class Pipe<Message> {
  readonly posted: Message[] = [];
  #listener: ((message: Message) => void) | undefined;

  readonly post = (message: Message, transfer: readonly ArrayBuffer[] = []): void => {
    this.posted.push(message);
    const copy = structuredClone(message, { transfer: [...transfer] });
    queueMicrotask(() => this.#listener?.(copy));
  };

  readonly onMessage = (listener: (message: Message) => void): void => {
    this.#listener = listener;
  };
}

interface Connected {
  readonly client: StorageClient;
  readonly requests: Pipe<StorageRequest>;
  readonly replies: Pipe<StorageReply>;
  readonly busy: boolean[];
}

function connect(...[clock, sync]: Parameters<OpenStorage>): Connected & { readonly directory: string } {
  const directory = mkdtempSync(join(tmpdir(), "retake-test-"));
  const requests = new Pipe<StorageRequest>();
  const replies = new Pipe<StorageReply>();
  const busy: boolean[] = [];
  hostStorage(openSqliteStorage({ directory, clock, sync }), { post: replies.post, onMessage: requests.onMessage });
  const client = new StorageClient({
    channel: { post: requests.post, onMessage: replies.onMessage, busy: (now) => busy.push(now) },
    clock,
  });
  return { client, requests, replies, busy, directory };
}

const directories: string[] = [];
const open: OpenStorage = (clock, sync) => {
  const { client, directory } = connect(clock, sync);
  directories.push(directory);
  return { journal: client.journal, payloads: client.payloads, close: () => client.journal.close() };
};

afterEach(() => {
  for (const directory of directories.splice(0)) {
    rmSync(directory, { recursive: true, force: true });
  }
});

describeJournal("the storage in SQLite, at the other end of a channel", open);
describePayloads("the storage in SQLite, at the other end of a channel", open);

describe("StorageClient", () => {
  function connected(disk = new TestDisk()): Connected {
    const all = connect(systemClock, disk.sync);
    onTestFinished(async () => {
      disk.release();
      await all.client.close().catch(() => undefined);
      rmSync(all.directory, { recursive: true, force: true });
    });
    return all;
  }

  const append = ({ client }: Connected, stream: string, expectedSequence = 0) =>
    client.journal.append([{ stream, expectedSequence, records: records(stream) }]);

  it("sends what is ordered in one turn of the event loop together, and is told of its end together", async () => {
    const connection = connected();
    await Promise.all(Array.from({ length: 20 }, (_, index) => append(connection, `stream ${index}`)));
    expect(connection.requests.posted.map(({ kind }) => kind)).toEqual(["orders"]);
    expect(connection.replies.posted).toEqual([{ kind: "settled", before: 20 }]);
  });

  it("does not keep many orders until the turn is over: the storage works on them meanwhile", async () => {
    const connection = connected();
    const all = Promise.all(Array.from({ length: 100 }, (_, index) => append(connection, `stream ${index}`)));
    expect(connection.requests.posted.length).toBe(3);
    await all;
  });

  it("settles an append that fails, and only that one", async () => {
    const connection = connected();
    await append(connection, "a");
    const results = await Promise.allSettled([
      append(connection, "b"),
      append(connection, "a"),
      append(connection, "c"),
      append(connection, "a", 1),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    await append(connection, "d");
  });

  it("refuses at once what is no record, without spoiling what else is ordered", async () => {
    const connection = connected();
    const good = append(connection, "good");
    const wrong = connection.client.journal.append([
      { stream: "wrong", expectedSequence: 0, records: ["text" as unknown as Uint8Array] },
    ]);
    await expect(wrong).rejects.toThrow("a record is a Uint8Array");
    await good;
    expect(await connection.client.journal.listStreams("", "", 10)).toEqual(["good"]);
  });

  it("does not take bytes away from whoever has given them", async () => {
    const connection = connected();
    const record = new Uint8Array([1, 2, 3]);
    const large = new Uint8Array(300_000).fill(7);
    await connection.client.journal.append([{ stream: "a", expectedSequence: 0, records: [record] }]);
    await connection.client.payloads.put("run", large).stored;
    expect([...record]).toEqual([1, 2, 3]);
    expect(large).toHaveLength(300_000);
  });

  it("says that it is busy while something is waited for, and only then", async () => {
    const disk = new TestDisk();
    const connection = connected(disk);
    disk.hold();
    const appended = append(connection, "a");
    await new Promise((resolve) => setImmediate(resolve));
    expect(connection.busy).toEqual([true]);
    disk.release();
    await appended;
    await connection.client.journal.flush();
    expect(connection.busy.at(-1)).toBe(false);
    connection.client.payloads.put("run", records("orphan")[0] ?? new Uint8Array());
    await new Promise((resolve) => setImmediate(resolve));
    expect(connection.busy.at(-1)).toBe(false);
  });

  it("waits for nothing after an append that has failed and is followed by none", async () => {
    const connection = connected();
    await append(connection, "a");
    await expect(append(connection, "a")).rejects.toThrow("another writer owns it");
    await new Promise((resolve) => setImmediate(resolve));
    expect(connection.busy.at(-1)).toBe(false);
    await append(connection, "b");
    expect(await connection.client.journal.listStreams("", "", 10)).toEqual(["a", "b"]);
  });

  it("gives everything up when the other end is gone, and says what to do", async () => {
    const disk = new TestDisk();
    const connection = connected(disk);
    disk.hold();
    const waiting = [append(connection, "a"), connection.client.journal.listStreams("", "", 1)];
    connection.client.lose(new Error("out of memory"));
    for (const one of [
      ...waiting,
      append(connection, "b"),
      connection.client.payloads.get("run", new Uint8Array(32)),
    ]) {
      await expect(one).rejects.toThrow(JournalUnavailableError);
      await expect(one).rejects.toThrow(/out of memory\): restart the server/);
    }
    expect(connection.client.journal.status).toMatchObject({ kind: "failing", needsRestart: true });
    disk.release();
  });

  it("orders payloads before the append that refers to them", async () => {
    const connection = connected();
    const { client } = connection;
    const payload = records("payload")[0] ?? new Uint8Array();
    const { sha256, stored } = client.payloads.put("run", payload);
    expect(stored).toBeUndefined();
    await client.journal.append([creation("run")]);
    expect(await client.payloads.get("run", sha256)).toEqual(payload);
  });
});
