import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { type Journal, JournalUnavailableError } from "../../../src/runs/ports/journal.ts";
import { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from "../../../src/runs/sqlite/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { creation, records, settled } from "../ports/storage-harness.ts";
import { TestDisk } from "../ports/test-disk.ts";
import { saidAll, startProcess } from "./processes/index.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

function openStorage(options: Partial<SqliteStorageOptions> = {}): SqliteStorage & { readonly directory: string } {
  const directory = options.directory ?? temporaryDirectory();
  const storage = openSqliteStorage({ clock: systemClock, ...options, directory });
  onTestFinished(() => storage.close());
  return { ...storage, directory };
}

function append(journal: Journal, stream: string, expectedSequence = 0): Promise<void> {
  return journal.append([{ stream, expectedSequence, records: records(stream) }]);
}

function whenAvailable(journal: Journal): Promise<void> {
  return new Promise((resolve) => {
    const stop = journal.onStatus(({ kind }) => {
      if (kind === "available") {
        stop();
        resolve();
      }
    });
  });
}

/** What another program finds in the database, whatever this process remembers. */
function stored(directory: string): string[] {
  const database = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
  try {
    return database
      .prepare("SELECT name FROM streams ORDER BY name")
      .all()
      .map(({ name }) => String(name));
  } finally {
    database.close();
  }
}

describe("group commit", () => {
  it("lets what the database cannot take fail alone", async () => {
    const { journal } = openStorage();
    const text = "no bytes" as unknown as Uint8Array;
    await append(journal, "old");
    const results = await Promise.allSettled([
      append(journal, "before"),
      journal.append([{ stream: "old", expectedSequence: 1, records: [text] }]),
      journal.append([creation("bad", { parentRunId: records("x")[0] as unknown as string })]),
      append(journal, "old", 1),
      append(journal, "old", 1),
      append(journal, "after"),
    ]);

    expect(results.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    expect((results[1] as PromiseRejectedResult).reason.message).toMatch(/cannot store TEXT value in BLOB column/);
    expect(await journal.listStreams("", "", 10)).toEqual(["after", "before", "old"]);
    expect(await journal.read("old", 0, 10)).toHaveLength(2);
    expect(journal.status).toEqual({ kind: "available" });
  });

  it("splits what is too much for one commit, lets other work go on in between, and syncs once", async () => {
    const disk = new TestDisk();
    const { journal, payloads } = openStorage({ sync: disk.sync });
    const order: number[] = [];
    let turns = 0;
    let done = false;
    const turning = (async () => {
      while (!done) {
        await new Promise((resolve) => setImmediate(resolve));
        turns++;
      }
    })();
    await Promise.all(
      Array.from({ length: 1_500 }, async (_, index) => {
        await append(journal, "long", index);
        order.push(index);
      }),
    );
    done = true;
    await turning;
    expect(disk.syncs).toBe(1);
    expect(turns).toBeGreaterThanOrEqual(1_500 / 256);
    expect(order).toEqual(order.toSorted((a, b) => a - b));

    await Promise.all(Array.from({ length: 3_000 }, (_, index) => append(journal, "long", 1_500 + index)));
    expect(disk.syncs).toBe(3);

    for (let index = 0; index < 40; index++) {
      payloads.put("run", new Uint8Array(256 * 1024).fill(index));
    }
    await journal.append([creation("run")]);
    expect(disk.syncs).toBe(4);
  });

  it("goes on committing what comes in during a sync, in one commit after it", async () => {
    const disk = new TestDisk();
    const { journal, directory } = openStorage({ sync: disk.sync });
    disk.hold();
    const first = append(journal, "a");
    expect(await settled(first)).toBe("open");
    const later = [append(journal, "b"), append(journal, "c")];
    expect(await settled(Promise.all(later))).toBe("open");
    expect(stored(directory)).toEqual(["a"]);

    disk.release();
    await Promise.all([first, ...later]);
    expect(disk.syncs).toBe(2);
    expect(stored(directory)).toEqual(["a", "b", "c"]);
  });

  it("closes only when everything is durable", async () => {
    const disk = new TestDisk();
    const { journal, directory } = openStorage({ sync: disk.sync });
    const many = Promise.all(Array.from({ length: 700 }, (_, index) => append(journal, `s${index}`)));
    await journal.close();

    await many;
    expect(stored(directory)).toHaveLength(700);
  });

  describe("when a sync fails", () => {
    it("acknowledges once the log was proved and emptied, and does nothing twice", async () => {
      const clock = createVirtualClock();
      const disk = new TestDisk();
      const { journal, directory } = openStorage({ clock, sync: disk.sync });
      await append(journal, "a");
      disk.fail();
      const failed = append(journal, "b");
      // Committed when the sync fails, so nobody can say that it is not stored.
      const impatient = journal.append([creation("c")], { impatient: true });
      expect(await settled(Promise.all([failed, impatient]))).toBe("open");
      expect(journal.status.kind).toBe("failing");
      expect(stored(directory)).toEqual(["a", "b", "run/c"]);
      const log = join(directory, "retake.db-wal");
      const sizeBefore = statSync(log).size;

      disk.mend();
      const available = whenAvailable(journal);
      await clock.advance(100);
      await Promise.all([available, failed, impatient]);
      expect(statSync(log).size).toBeLessThan(sizeBefore);
      expect(stored(directory)).toEqual(["a", "b", "run/c"]);
      expect(await journal.read("b", 0, 10)).toHaveLength(1);
    });

    it("answers reads only when what they have read is durable", async () => {
      const clock = createVirtualClock();
      const disk = new TestDisk();
      const { journal } = openStorage({ clock, sync: disk.sync });
      await append(journal, "a");
      disk.fail();
      const failed = append(journal, "b");
      await settled(failed);
      const reading = journal.read("b", 0, 10);
      expect(await settled(reading)).toBe("open");

      disk.mend();
      await clock.advance(100);
      expect(await reading).toHaveLength(1);
    });

    it("tries again more and more seldom, until a batch is durable", async () => {
      const clock = createVirtualClock();
      const disk = new TestDisk();
      const { journal } = openStorage({ clock, sync: disk.sync });
      let number = 0;
      /** How long the clock has to go until the log is proved. */
      const delay = async (): Promise<number> => {
        const appended = append(journal, `s${number++}`);
        await settled(appended);
        const begun = clock.monotonic();
        await clock.runUntilIdle();
        await appended;
        return clock.monotonic() - begun;
      };
      disk.fail();
      // Each time the log is proved, which makes the append durable, but the next sync fails again.
      expect([await delay(), await delay(), await delay()]).toEqual([100, 200, 400]);

      disk.mend();
      await append(journal, "a");
      disk.fail();
      expect(await delay()).toBe(100);
    });

    it("stays away from a log that has lost something, and the next process goes on from what is durable", async () => {
      const directory = temporaryDirectory();
      const child = startProcess("lose-log", [directory]);
      const [text, errors] = await Promise.all([saidAll(child.stdout), saidAll(child.stderr)]);
      expect(errors).toBe("");

      expect(JSON.parse(text)).toEqual({
        one: "stored",
        two: "JournalUnavailableError",
        message: expect.stringMatching(/has lost what was written and not yet acknowledged.*restart the server/),
        impatient: "JournalUnavailableError",
        late: "JournalUnavailableError",
        locked: true,
        untouched: true,
      });
      const { journal } = openStorage({ directory });
      expect(await journal.listStreams("", "", 10)).toEqual(["one"]);
      const check = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
      expect(check.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
      check.close();
    });

    it("gives up what is not known to be stored when it is closed then, and keeps what is", async () => {
      const clock = createVirtualClock();
      const disk = new TestDisk();
      const { journal } = openStorage({ clock, sync: disk.sync });
      disk.fail();
      const committed = append(journal, "a");
      await settled(committed);
      const queued = append(journal, "b");
      await Promise.allSettled([journal.close(), committed, queued]);

      // Closing proves the log once more: "a" is durable by that, and the sync of "b" has failed again.
      await committed;
      await expect(queued).rejects.toThrow(JournalUnavailableError);
    });
  });

  describe("when the disk is full", () => {
    async function fillAndFree(directory: string, makeFull: () => void, makeRoom: () => void): Promise<void> {
      const clock = createVirtualClock();
      const { journal, payloads, close } = openStorage({ directory, clock });
      makeFull();
      const acknowledged: string[] = [];
      const store = async (stream: string): Promise<void> => {
        await journal.append([{ stream, expectedSequence: 0, records: [new Uint8Array(50_000)] }]);
        acknowledged.push(stream);
      };
      const failing = new Promise<Error>((resolve) => {
        journal.onStatus((status) => status.kind === "failing" && resolve(status.cause));
      });
      let number = 0;
      let last: Promise<void> = Promise.resolve();
      while (journal.status.kind === "available") {
        last = store(`s${number++}`);
        await Promise.race([last, failing]);
      }
      const { message } = await failing;
      expect(message).toMatch(/cannot be used at the moment: (database or disk is full|disk I\/O error)/);
      const before = [...acknowledged];
      expect(before).toHaveLength(number - 1);

      // What is there can be read, new runs are refused at once, and results wait.
      expect(await journal.read("s0", 0, 1)).toHaveLength(1);
      const { sha256 } = payloads.put("run", records("input")[0] ?? new Uint8Array());
      await expect(journal.append([creation("run")], { impatient: true })).rejects.toThrow(JournalUnavailableError);
      const result = store("result");
      await clock.advance(1_000);
      expect(await settled(result)).toBe("open");

      makeRoom();
      const available = whenAvailable(journal);
      for (let waiting = true; waiting; ) {
        await clock.advance(5_000);
        waiting = (await settled(available)) === "open";
      }
      await Promise.all([last, result]);
      expect(acknowledged).toEqual([...before, `s${number - 1}`, "result"]);
      expect(await payloads.get("run", sha256)).toBeUndefined();
      await close();
      expect(stored(directory)).toEqual(acknowledged.toSorted());
    }

    it("refuses what is impatient, keeps the rest, and goes on when there is space", async () => {
      // A database that may not grow says what a full disk says.
      let database: DatabaseSync | undefined;
      const { exec } = DatabaseSync.prototype;
      DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string): void {
        if (sql.includes("synchronous = NORMAL")) {
          database = this;
        }
        exec.call(this, sql);
      };
      onTestFinished(() => {
        DatabaseSync.prototype.exec = exec;
      });
      await fillAndFree(
        temporaryDirectory(),
        () => database?.exec("PRAGMA max_page_count = 100"),
        () => database?.exec("PRAGMA max_page_count = 1000000"),
      );
    });

    const canMount = process.geteuid?.() === 0 && mountable();
    if (!canMount) {
      console.warn("SKIPPED: a really full disk needs a tmpfs, which this user cannot mount");
    }

    it.skipIf(!canMount)("does so on a disk that is really full", async () => {
      const mount = join(temporaryDirectory(), "small");
      mkdirSync(mount);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", mount]);
      onTestFinished(() => void execFileSync("umount", ["--lazy", mount]));
      const filler = join(mount, "filler");

      await fillAndFree(
        join(mount, "data"),
        () => writeFileSync(filler, new Uint8Array(1_500_000)),
        () => rmSync(filler),
      );
    });
  });

  describe("when the database is damaged while it is open", () => {
    /** A directory of which one page of events is damaged, which opening does not meet. */
    async function damaged(): Promise<string> {
      const directory = temporaryDirectory();
      const { journal, close } = openSqliteStorage({ directory, clock: systemClock });
      for (let index = 0; index < 200; index++) {
        await journal.append([{ stream: `s${index}`, expectedSequence: 0, records: [new Uint8Array(1_000)] }]);
      }
      await close();
      const path = join(directory, "retake.db");
      const database = new DatabaseSync(path);
      const page = database.prepare("SELECT pageno FROM dbstat WHERE name = 'events' AND pagetype = 'leaf'").all()[3];
      database.close();
      const file = openSync(path, "r+");
      writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, 4096 * (Number(page?.["pageno"]) - 1));
      closeSync(file);
      return directory;
    }

    /** Reads everything; gives the error that it meets. */
    async function readAll(journal: Journal): Promise<Error> {
      const reads = await Promise.allSettled(
        Array.from({ length: 200 }, (_, index) => journal.read(`s${index}`, 0, 10)),
      );
      const failed = reads.find((result) => result.status === "rejected");
      expect(failed?.reason).toBeInstanceOf(JournalUnavailableError);
      return failed?.reason;
    }

    it("says so to readers, and takes nothing new until the server is restarted", async () => {
      const { journal } = openStorage({ directory: await damaged() });
      await append(journal, "new");

      const { message } = await readAll(journal);
      expect(message).toMatch(/is damaged \(.*malformed\): stop the server, keep a copy of the directory/);
      expect(journal.status).toMatchObject({ kind: "failing", needsRestart: true });
      await expect(journal.append([creation("x")], { impatient: true })).rejects.toThrow(JournalUnavailableError);
      const patient = append(journal, "new", 1);
      expect(await settled(patient)).toBe("open");
      await Promise.all([journal.close(), expect(patient).rejects.toThrow(/is damaged/)]);
    });

    it("takes no later trouble for the whole of it, which could pass", async () => {
      const clock = createVirtualClock();
      const disk = new TestDisk();
      const { journal } = openStorage({ directory: await damaged(), clock, sync: disk.sync });
      disk.hold();
      const appended = append(journal, "new");
      expect(await settled(appended)).toBe("open");
      void readAll(journal);
      disk.fail();
      disk.release();
      expect(await settled(appended)).toBe("open");
      await clock.advance(60_000);

      expect(journal.status).toMatchObject({
        kind: "failing",
        needsRestart: true,
        cause: { message: expect.stringContaining("is damaged") },
      });
      expect(clock.pendingTimers).toBe(0);
      await Promise.all([journal.close(), expect(appended).rejects.toThrow(/is damaged/)]);
    });
  });

  it("leaves the event loop free while it syncs, and never syncs on it", async () => {
    if (!hasStrace()) {
      console.warn("SKIPPED: strace is not there to see which thread syncs");
      return;
    }
    const strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync,write"];
    const child = startProcess("write-much", [temporaryDirectory()], strace);
    const [text, trace] = await Promise.all([saidAll(child.stdout), saidAll(child.stderr)]);
    expect(text).toBe("ready\ndone\n");

    const lines = trace.split("\n");
    const from = lines.findIndex((line) => line.includes('"ready\\n"'));
    const to = lines.findIndex((line) => line.includes('"done\\n"'));
    const main = thread(lines[from]);
    const syncing = lines.slice(from, to).filter((line) => /\b(fsync|fdatasync)\(/.test(line));
    expect(syncing.length).toBeGreaterThan(90);
    expect(syncing.filter((line) => thread(line) === main)).toEqual([]);
  });
});

/** The thread that a line of strace is about; the first one is not named as long as it is alone. */
function thread(line = ""): string {
  return /^\[pid +(\d+)\]/.exec(line)?.[1] ?? "first";
}

function hasStrace(): boolean {
  try {
    execFileSync("strace", ["-V"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function mountable(): boolean {
  const directory = "/tmp/retake-mount-trial";
  try {
    mkdirSync(directory, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], { stdio: "ignore" });
    execFileSync("umount", [directory]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
