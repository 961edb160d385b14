import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { JournalOpenError } from "../../../src/runs/ports/journal.ts";
import { openSqliteStorage, type SqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { records } from "../ports/storage-harness.ts";
import { said, saidAll, startProcess } from "./processes/index.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function openStorage(directory: string): SqliteStorage {
  const storage = openSqliteStorage({ directory, clock: systemClock });
  onTestFinished(() => storage.close());
  return storage;
}

/** A directory with a journal of a few pages, closed. */
async function filled(): Promise<string> {
  const directory = temporaryDirectory();
  const { journal } = openSqliteStorage({ directory, clock: systemClock });
  for (let index = 0; index < 50; index++) {
    await journal.append([{ stream: `s${index}`, expectedSequence: 0, records: [new Uint8Array(2_000)] }]);
  }
  await journal.close();
  return directory;
}

function refusal(directory: string): JournalOpenError {
  try {
    openStorage(directory);
  } catch (error) {
    expect(error).toBeInstanceOf(JournalOpenError);
    return error as JournalOpenError;
  }
  throw new Error("the storage was opened");
}

describe("the data directory", () => {
  it("is made with those it is in, and nobody else can read what is in it", async () => {
    const directory = join(temporaryDirectory(), "deep", "data");
    const { journal, payloads } = openStorage(directory);
    const { stored } = payloads.put("run", new Uint8Array(300_000));
    await stored;
    await journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);

    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(["retake.db", "retake.db-wal", "lock.db"]));
    for (const { parentPath, name } of files) {
      expect([name, statSync(join(parentPath, name)).mode & 0o777]).toEqual([name, 0o600]);
    }
  });

  it("keeps everything when it is closed and opened again, and leaves no log behind", async () => {
    const directory = await filled();
    expect(readdirSync(directory).sort()).toEqual(["lock.db", "retake.db"]);

    const { journal } = openStorage(directory);
    expect(await journal.listStreams("", "", 100)).toHaveLength(50);
    expect(await journal.read("s7", 0, 1)).toEqual([{ sequence: 1, data: new Uint8Array(2_000) }]);
  });

  it("is refused while this process has it open already, and not harmed by that", async () => {
    const directory = temporaryDirectory();
    const { journal } = openStorage(directory);

    expect(refusal(directory).reason).toBe("locked");
    await journal.append([{ stream: "a", expectedSequence: 0, records: records("x") }]);
    expect(refusal(directory).message).toContain(`process ${process.pid} on ${hostname()}`);
    // What is held is held by locks that opening files carelessly would give up.
    const other = startProcess("hold", [directory]);
    expect(await saidAll(other.stderr)).toContain("JournalOpenError: the data directory");
  });

  it("is refused while another process has it open, naming that one, and free again after kill -9", async () => {
    const directory = temporaryDirectory();
    const holder = startProcess("hold", [directory]);
    expect(await said(holder)).toBe("open\n");

    const { reason, message } = refusal(directory);
    expect(reason).toBe("locked");
    expect(message).toMatch(
      new RegExp(
        `^the data directory ${directory} is in use by process ${holder.pid} on ${hostname()} since 20[0-9T:.-]+Z: ` +
          "stop that one, or choose another data directory$",
      ),
    );

    holder.kill("SIGKILL");
    await once(holder, "exit");
    const { journal } = openStorage(directory);
    expect(await journal.read("held", 0, 10)).toEqual([{ sequence: 1, data: Uint8Array.of(1) }]);
  });

  it("is locked since the time that the clock shows", async () => {
    const directory = temporaryDirectory();
    const clock = createVirtualClock({ startMs: Date.UTC(2031, 1, 3, 4, 5, 6) });
    const { close } = openSqliteStorage({ directory, clock });
    onTestFinished(close);

    expect(refusal(directory).message).toContain("since 2031-02-03T04:05:06.000Z");
  });

  it("can be opened by the next one when opening has failed", async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "retake.db"), "no database at all, but text that is long enough to look at");
    expect(refusal(directory).reason).toBe("damaged");
    truncateSync(join(directory, "retake.db"));

    openStorage(directory);
  });
});

describe("a data directory that cannot be used", () => {
  it.each([
    ["is a file", "data"],
    ["is in a file", "data/deep"],
  ])("says so when it %s", (_, path) => {
    const parent = temporaryDirectory();
    writeFileSync(join(parent, "data"), "");

    const { reason, message } = refusal(join(parent, path));
    expect(reason).toBe("unreadable");
    expect(message).toContain("is a file: choose another one");
  });

  it("says what cannot be opened when the database is no file", () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, "retake.db"));

    const { reason, message } = refusal(directory);
    expect(reason).toBe("unreadable");
    expect(message).toContain("unable to open database file");
  });

  it("says what is not permitted", () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o500);
    // Root may do everything, so it becomes nobody for this.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) {
      chmodSync(join(directory, ".."), statSync(join(directory, "..")).mode | 0o011);
      process.seteuid?.(65_534);
    }
    try {
      const { reason, message } = refusal(isRoot ? join(directory, "data") : directory);
      expect(reason).toBe("unreadable");
      expect(message).toMatch(/EACCES: permission denied.*let this user write there, or choose another one/);
    } finally {
      if (isRoot) {
        process.seteuid?.(0);
      }
    }
  });
});

describe("a journal that cannot be used", () => {
  it("is refused when a newer version has written it, naming both", async () => {
    const directory = await filled();
    const database = new DatabaseSync(join(directory, "retake.db"));
    database.exec("PRAGMA user_version = 99; UPDATE meta SET value = 'retake 99.1.0' WHERE name = 'written_by'");
    database.close();

    const { reason, message } = refusal(directory);
    expect(reason).toBe("newer");
    expect(message).toMatch(
      /was written by retake 99\.1\.0 \(format 99\), and this is retake \d+\.\d+\.\d+ \(format \d+\)/,
    );
  });

  it("is refused when it is somebody else's database", () => {
    const directory = temporaryDirectory();
    const database = new DatabaseSync(join(directory, "retake.db"));
    database.exec("CREATE TABLE diary (day TEXT)");
    database.close();

    expect(refusal(directory).message).toContain("is not one of retake: choose another data directory");
  });

  function overwrite(path: string, position: number, length: number): void {
    const file = openSync(path, "r+");
    writeSync(file, Buffer.alloc(length, 0xa5), 0, length, position);
    closeSync(file);
  }

  it.each([
    ["its header", (path: string) => overwrite(path, 0, 100), "file is not a database"],
    ["its schema", (path: string) => overwrite(path, 100, 3_996), "malformed"],
    ["everything", (path: string) => overwrite(path, 0, statSync(path).size), "file is not a database"],
    ["its end, which is missing", (path: string) => truncateSync(path, 4096 * 3), "malformed"],
  ])("is refused when %s is damaged", async (_, damage, reason) => {
    const directory = await filled();
    damage(join(directory, "retake.db"));

    const error = refusal(directory);
    expect(error.reason).toBe("damaged");
    expect(error.message).toContain(reason);
    expect(error.message).toContain("keep a copy of the directory and restore a backup");
    expect(existsSync(join(directory, "lock-holder"))).toBe(false);
  });
});
