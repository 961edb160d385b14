import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { JournalUnavailableError } from "../../../src/runs/ports/journal.ts";
import {
  type PayloadCodec,
  PayloadDamagedError,
  type Payloads,
  payloadDigest,
} from "../../../src/runs/ports/payloads.ts";
import { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from "../../../src/runs/sqlite/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { bytes, creation, settled } from "../ports/storage-harness.ts";
import { TestDisk } from "../ports/test-disk.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const large = new Uint8Array(300_000).fill(7);
const digest = payloadDigest(large);
const hex = Buffer.from(digest).toString("hex");

describe("large payloads", () => {
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = temporaryDirectory();
    path = join(directory, "payloads", hex.slice(0, 2), hex.slice(2));
  });

  function openStorage(options: Partial<SqliteStorageOptions> = {}): SqliteStorage {
    const storage = openSqliteStorage({ directory, clock: systemClock, ...options });
    onTestFinished(() => storage.close());
    return storage;
  }

  async function put(payloads: Payloads, runId: string, data: Uint8Array = large): Promise<void> {
    await payloads.put(runId, data).stored;
  }

  /** The files of payloads, and what is unfinished. */
  function files(): string[] {
    return existsSync(join(directory, "payloads"))
      ? readdirSync(join(directory, "payloads"), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => join(parentPath, name))
      : [];
  }

  it("are files under their digest, one for all who own the same bytes, small ones are not", async () => {
    const { payloads } = openStorage();
    await Promise.all([put(payloads, "a"), put(payloads, "b"), put(payloads, "a")]);
    await put(payloads, "a", bytes("small"));

    expect(files()).toEqual([path]);
    expect(readFileSync(path).equals(large)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);
  });

  it("go with the last run that owns them", async () => {
    const { payloads } = openStorage();
    await put(payloads, "a");
    await put(payloads, "b");
    await payloads.deleteRuns(["a"]);
    expect(files()).toEqual([path]);
    await payloads.deleteRuns(["b"]);
    expect(files()).toEqual([]);
  });

  it("are synced, with their directories, before they are said to be stored", async () => {
    const disk = new TestDisk();
    const { payloads } = openStorage({ sync: disk.sync });
    disk.hold();
    const { stored } = payloads.put("a", large);
    expect(await settled(stored ?? Promise.resolve())).toBe("open");
    expect(existsSync(path)).toBe(false);
    disk.release();
    await stored;

    expect(existsSync(path)).toBe(true);
    // The file, its directory, and, since that is new, what it is in: twice.
    expect(disk.syncs).toBe(4);
  });

  it("stay readable however deletions and puts of the same bytes meet", async () => {
    const { payloads } = openStorage();
    await put(payloads, "run0");
    for (let round = 0; round < 40; round++) {
      const deleting = payloads.deleteRuns([`run${round}`]);
      for (let turn = 0; turn < round % 8; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all([put(payloads, `run${round + 1}`), deleting]);
      expect((await payloads.get(`run${round + 1}`, digest))?.length).toBe(large.length);
    }
    expect(files()).toEqual([path]);
  });

  it("are written anew when what is there is too short or too long", async () => {
    const { payloads } = openStorage();
    await put(payloads, "a");
    truncateSync(path, 1_000);
    await put(payloads, "b");

    expect((await payloads.get("a", digest))?.length).toBe(large.length);
  });

  it("are not written again when they are there", async () => {
    const { payloads } = openStorage();
    await put(payloads, "a");
    utimesSync(path, 1, 1);
    await put(payloads, "b");

    expect(statSync(path).mtimeMs).toBe(1_000);
  });

  it("leave no file behind when the process ends before their run exists, nor unfinished ones", async () => {
    const first = openStorage();
    await put(first.payloads, "kept");
    await first.journal.append([creation("kept")]);
    const other = new Uint8Array(300_000).fill(8);
    // Stored, but the run is never created.
    await put(first.payloads, "lost", other);
    await first.payloads.put("lost", bytes("small")).stored;
    await first.close();
    mkdirSync(join(directory, "payloads", "unfinished"), { recursive: true });
    writeFileSync(join(directory, "payloads", "unfinished", "3"), "half");
    mkdirSync(join(directory, "payloads", "ab"), { recursive: true });
    writeFileSync(join(directory, "payloads", "ab", "c".repeat(62)), "nobody's");
    expect(files()).toHaveLength(4);

    const second = openStorage();
    while (files().length > 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(files()).toEqual([path]);
    expect((await second.payloads.get("kept", digest))?.length).toBe(large.length);
    expect(await second.payloads.get("lost", payloadDigest(bytes("small")))).toBeUndefined();
  });

  describe("while files cannot be written", () => {
    let clock: ReturnType<typeof createVirtualClock>;
    let disk: TestDisk;
    let storage: SqliteStorage;

    beforeEach(() => {
      clock = createVirtualClock();
      disk = new TestDisk();
      storage = openStorage({ clock, sync: disk.sync });
    });

    async function failing(): Promise<void> {
      while (storage.journal.status.kind === "available") {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }

    it("wait, and are stored when it works again", async () => {
      disk.fail("no space left on device");
      const { stored } = storage.payloads.put("a", large);
      await failing();
      expect(storage.journal.status).toMatchObject({
        cause: {
          message: `payloads cannot be written to ${join(directory, "payloads")} at the moment: no space left on device`,
        },
      });
      expect(files()).toEqual([]);

      disk.mend();
      while (storage.journal.status.kind === "failing") {
        await clock.advance(5_000);
      }
      await stored;
      expect(files()).toEqual([path]);
      expect((await storage.payloads.get("a", digest))?.length).toBe(large.length);
    });

    it("are rejected at once when they are impatient, and it is found out when it works again", async () => {
      disk.fail();
      const first = storage.payloads.put("a", large, { impatient: true });
      await expect(first.stored).rejects.toThrow(JournalUnavailableError);
      const second = storage.payloads.put("a", large, { impatient: true });
      await expect(second.stored).rejects.toThrow(JournalUnavailableError);
      await clock.advance(100);
      expect(storage.journal.status.kind).toBe("failing");

      disk.mend();
      while (storage.journal.status.kind === "failing") {
        await clock.advance(5_000);
      }
      expect(files()).toEqual([]);
      await put(storage.payloads, "a");
    });

    it("are rejected when the storage is closed then", async () => {
      disk.fail();
      const { stored } = storage.payloads.put("a", large);
      await failing();

      await Promise.all([storage.close(), expect(stored).rejects.toThrow(JournalUnavailableError)]);
      expect(clock.pendingTimers).toBe(0);
    });
  });
});

describe("a small payload", () => {
  it("that is deleted again at once is never written", async () => {
    const directory = temporaryDirectory();
    const { payloads, close } = openSqliteStorage({ directory, clock: systemClock });
    onTestFinished(close);
    const log = join(directory, "retake.db-wal");
    const before = statSync(log).size;
    payloads.put("refused", new Uint8Array(250_000));
    await payloads.deleteRuns(["refused"]);

    expect(statSync(log).size).toBe(before);
  });
});

describe("damaged payloads", () => {
  const small = bytes("a small payload");

  async function stored(data: Uint8Array, clock: Clock = systemClock): Promise<string> {
    const directory = temporaryDirectory();
    const { payloads, journal, close } = openSqliteStorage({ directory, clock });
    await payloads.put("run-1", data).stored;
    await journal.append([creation("run-1")]);
    await close();
    return directory;
  }

  it.each<[string, Uint8Array, (directory: string, file: string) => void, RegExp]>([
    [
      "the bytes of a file",
      large,
      (_, file) => writeFileSync(file, new Uint8Array(300_000).fill(9)),
      /its bytes have another digest; restore it from a backup/,
    ],
    ["the length of a file", large, (_, file) => truncateSync(file, 10), /its bytes have another digest/],
    ["a file that is gone", large, (_, file) => rmSync(file), /its file is gone; restore it from a backup/],
    [
      "the bytes of a row",
      small,
      (directory) => {
        const database = new DatabaseSync(join(directory, "retake.db"));
        database.exec("UPDATE payloads SET data = x'00ff'");
        database.close();
      },
      /its bytes have another digest/,
    ],
  ])("are noticed by %s, naming run and digest", async (_, data, damage, message) => {
    const directory = await stored(data);
    const sha256 = payloadDigest(data);
    const name = Buffer.from(sha256).toString("hex");
    damage(directory, join(directory, "payloads", name.slice(0, 2), name.slice(2)));
    const { payloads, journal, close } = openSqliteStorage({ directory, clock: systemClock });
    onTestFinished(close);

    const error = await payloads.get("run-1", sha256).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PayloadDamagedError);
    expect(error).toMatchObject({ runId: "run-1", sha256 });
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(`payload ${name} of run run-1 is damaged`);
    // One payload is not the journal.
    expect(journal.status).toEqual({ kind: "available" });
  });
});

describe("a codec", () => {
  const key = 0x5c;
  const codec: PayloadCodec = {
    encode: (plain) => Buffer.concat([Uint8Array.of(1), plain.map((byte) => byte ^ key)]),
    decode: (encoded) => {
      if (encoded[0] !== 1) {
        throw new Error("unknown form");
      }
      return encoded.subarray(1).map((byte) => byte ^ key);
    },
  };

  it("makes how payloads look at rest, in rows and in files, under the digest of the plain bytes", async () => {
    const directory = temporaryDirectory();
    const { payloads, close } = openSqliteStorage({ directory, clock: systemClock, codec });
    onTestFinished(close);
    const text = bytes("a secret that nobody reads");
    const { sha256 } = payloads.put("a", text);
    await payloads.put("a", large).stored;

    expect(sha256).toEqual(payloadDigest(text));
    expect(await payloads.get("a", sha256)).toEqual(text);
    expect((await payloads.get("a", digest))?.every((byte) => byte === 7)).toBe(true);
    const file = readFileSync(join(directory, "payloads", hex.slice(0, 2), hex.slice(2)));
    expect(file.subarray(1).every((byte) => byte === (7 ^ key))).toBe(true);
    for (const name of readdirSync(directory).filter((entry) => entry.startsWith("retake.db"))) {
      expect(readFileSync(join(directory, name)).includes(Buffer.from(text))).toBe(false);
    }
  });

  it("reports what it cannot decode as damage, with the reason", async () => {
    const directory = temporaryDirectory();
    const first = openSqliteStorage({ directory, clock: systemClock });
    first.payloads.put("run-1", bytes("plain"));
    await first.journal.append([creation("run-1")]);
    await first.close();
    const { payloads, close } = openSqliteStorage({ directory, clock: systemClock, codec });
    onTestFinished(close);

    await expect(payloads.get("run-1", payloadDigest(bytes("plain")))).rejects.toMatchObject({
      name: "PayloadDamagedError",
      cause: { message: "unknown form" },
    });
  });
});
