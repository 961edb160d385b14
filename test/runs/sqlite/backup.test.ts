import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { systemClock } from "../../../src/clock.ts";
import { openFileArtifacts } from "../../../src/runs/artifact-files/index.ts";
import type { Artifacts } from "../../../src/runs/ports/artifacts.ts";
import { runStream } from "../../../src/runs/ports/journal.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { artifactFileName } from "../../../src/runs/sqlite/backup-artifacts.ts";
import { type BackupOptions, backUp, openSqliteStorage, type SqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { packageIdentity } from "../../../src/runs/sqlite/package-identity.ts";
import { payloadFileName } from "../../../src/runs/sqlite/payload-file-names.ts";
import { restore } from "../../../src/runs/sqlite/restore.ts";
import { said, startProcess } from "./processes/index.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { largeBytes, owner, writeRun } from "./written-runs.ts";

const { signal } = new AbortController();

function openStorage(directory = temporaryDirectory()): SqliteStorage & { readonly directory: string } {
  const storage = openSqliteStorage({ directory, clock: systemClock });
  onTestFinished(() => storage.close());
  return { ...storage, directory };
}

function artifactsIn(directory: string): Artifacts {
  const artifacts = openFileArtifacts({ directory, clock: systemClock, maxBytes: 1_000_000 });
  onTestFinished(() => artifacts.close());
  return artifacts;
}

async function* chunks(...all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

async function* failing(): AsyncGenerator<Uint8Array> {
  yield largeBytes(9);
  throw new Error("the caller is gone");
}

/** Backs up, restores into a new directory and opens that. */
async function copyOf(directory: string, more: Partial<BackupOptions> = {}) {
  const file = join(temporaryDirectory(), "backup.tar");
  const manifest = await backUp({ directory, file, clock: systemClock, signal, ...more });
  const restored = temporaryDirectory();
  await restore({ file, directory: restored, clock: systemClock, signal });
  return { manifest, file, ...openStorage(restored) };
}

async function text(storage: SqliteStorage, runId: string, bytes: Uint8Array): Promise<string | undefined> {
  const found = await storage.payloads.get(runId, payloadDigest(bytes));
  return found && Buffer.from(found).toString("utf8");
}

describe("backUp", () => {
  it("copies runs, payloads and files of a server that goes on, as they are at one moment", async () => {
    const running = openStorage();
    await writeRun(running, "small");
    await writeRun(running, "large", { result: largeBytes(1) });
    await writeRun(running, "open", { state: RunState.RUNNING, input: largeBytes(1) });
    let during: Promise<unknown> | undefined;
    const copy = await copyOf(running.directory, {
      onProgress: () => {
        during ??= writeRun(running, "later", { result: largeBytes(2) });
      },
    });
    await during;

    expect(copy.manifest).toMatchObject({
      format: 1,
      writtenBy: `retake ${packageIdentity().version}`,
      journalFormat: 1,
      counts: { runs: 3n, openRuns: 1n, events: 8n, payloads: 5n, files: 1n, fileBytes: 300_000n },
      missingFiles: 0n,
    });
    for (const runId of ["small", "large", "open"]) {
      const events = await running.journal.read(runStream(runId), 0, 10);
      expect(events.length).toBeGreaterThan(1);
      expect(await copy.journal.read(runStream(runId), 0, 10)).toEqual(events);
    }
    expect(await text(copy, "small", Buffer.from("result of small"))).toBe("result of small");
    expect(await copy.payloads.get("large", payloadDigest(largeBytes(1)))).toEqual(Buffer.from(largeBytes(1)));
    expect(await copy.payloads.get("open", payloadDigest(largeBytes(1)))).toEqual(Buffer.from(largeBytes(1)));
    expect(await copy.journal.read(runStream("later"), 0, 10)).toEqual([]);
    expect((await running.journal.read(runStream("later"), 0, 10)).length).toBe(3);
  });

  it("copies one moment, however much is written while it copies", async () => {
    const running = openStorage();
    for (let index = 0; index < 100; index++) {
      running.payloads.put(`run${index}`, new Uint8Array(200_000).fill(index));
    }
    await running.close();
    const writer = new DatabaseSync(join(running.directory, "retake.db"));
    onTestFinished(() => writer.close());
    let later = 0;
    const copy = await copyOf(running.directory, {
      onProgress: (part) => {
        if (part === "database") {
          writer.exec(
            `INSERT INTO streams (id, name, last_sequence, state) VALUES (${later}, 'run/later${later}', 1, 1)`,
          );
          later++;
        }
      },
    });

    expect(later).toBeGreaterThan(0);
    expect(copy.manifest.counts).toMatchObject({ runs: 0n, payloads: 100n });
  });

  it("copies artifacts with their index, without uploads that have not ended", async () => {
    const running = openStorage();
    await writeRun(running, "a");
    const artifacts = artifactsIn(running.directory);
    const kept = await artifacts.write(chunks(largeBytes(7)), { owner, name: "film.mp4", mediaType: "video/mp4" });
    const gone = await artifacts.write(chunks(largeBytes(8)), { owner, name: "gone", mediaType: "text/plain" });
    const broken = artifacts.write(failing(), { owner, name: "half", mediaType: "text/plain", uploadId: "u" });
    await expect(broken).rejects.toThrow("the caller is gone");
    rmSync(join(running.directory, artifactFileName(gone.sha256)));
    const copy = await copyOf(running.directory);

    expect(copy.manifest).toMatchObject({ counts: { runs: 1n, artifacts: 2n }, missingFiles: 1n });
    expect(Number(copy.manifest.counts?.artifactBytes)).toBeGreaterThan(300_000);
    const restored = artifactsIn(copy.directory);
    const found = await restored.get(kept.id);
    expect(found).toMatchObject({ name: "film.mp4", mediaType: "video/mp4", size: 300_000 });
    const bytes: Uint8Array[] = [];
    for await (const chunk of restored.read(kept)) bytes.push(chunk);
    expect(Buffer.concat(bytes)).toEqual(Buffer.from(largeBytes(7)));
    expect(await restored.findUpload(owner, "u")).toBeUndefined();
    expect((await artifacts.findUpload(owner, "u"))?.offset).toBeGreaterThan(0);
  });

  it("leaves out artifacts that are deleted meanwhile", async () => {
    const running = openStorage();
    const artifacts = artifactsIn(running.directory);
    const written = [];
    for (const seed of [1, 2, 3]) {
      written.push(
        await artifacts.write(chunks(largeBytes(seed)), { owner, name: `${seed}`, mediaType: "text/plain" }),
      );
    }
    const last =
      written
        .map(({ sha256 }) => Buffer.from(sha256))
        .sort(Buffer.compare)
        .at(-1) ?? Buffer.alloc(0);
    const copy = await copyOf(running.directory, {
      onProgress: (part, done) => {
        if (part === "files" && done === 1) {
          const index = new DatabaseSync(join(running.directory, "artifacts", "index.sqlite"));
          index.prepare("DELETE FROM artifacts WHERE sha256 = ?").run(last);
          index.close();
          rmSync(join(running.directory, artifactFileName(last)));
        }
      },
    });

    expect(copy.manifest).toMatchObject({ counts: { artifacts: 2n }, missingFiles: 0n });
  });

  it("holds all that another process has acknowledged before it begins", async () => {
    const directory = temporaryDirectory();
    const writer = startProcess("hold", [directory]);
    expect(await said(writer)).toBe("open\n");
    const copy = await copyOf(directory);

    expect((await copy.journal.read("held", 0, 10)).length).toBe(1);
    expect(writer.exitCode).toBeNull();
  });

  it("copies what a server that was killed has left in its log, and leaves it there", async () => {
    const directory = temporaryDirectory();
    const writer = startProcess("hold", [directory]);
    await said(writer);
    writer.kill("SIGKILL");
    await once(writer, "exit");
    const log = readFileSync(join(directory, "retake.db-wal"));
    expect(log.length).toBeGreaterThan(0);
    const copy = await copyOf(directory);

    expect((await copy.journal.read("held", 0, 10)).length).toBe(1);
    expect(readFileSync(join(directory, "retake.db-wal"))).toEqual(log);
  });

  it("lets a server start while it reads", async () => {
    const { directory, close } = openStorage();
    await close();
    const reader = new DatabaseSync(join(directory, "retake.db"), { readOnly: true });
    onTestFinished(() => reader.close());
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM streams").get();
    const started = openStorage(directory);
    await writeRun(started, "new");
    await started.close();
    // Closed beside the reader, it leaves its log; this start finds that.
    const again = openStorage(directory);

    expect((await again.journal.read(runStream("new"), 0, 10)).length).toBe(3);
    expect(reader.prepare("SELECT count(*) AS runs FROM streams").get()).toEqual({ runs: 0 });
  });

  it("deletes in the copy the runs whose files retention removes meanwhile, and keeps the others", async () => {
    const running = openStorage();
    await writeRun(running, "going", { input: largeBytes(1), result: largeBytes(2) });
    await writeRun(running, "staying", { input: largeBytes(3) });
    // The database has been copied when the first file is added: from then on its rows lie behind.
    let deleting: Promise<void> | undefined;
    const copy = await copyOf(running.directory, {
      onProgress: (part) => {
        if (part === "files" && deleting === undefined) {
          for (const seed of [1, 2]) rmSync(join(running.directory, payloadFileName(payloadDigest(largeBytes(seed)))));
          const database = new DatabaseSync(join(running.directory, "retake.db"));
          database.exec("DELETE FROM payloads WHERE run = 'going'");
          database.close();
          deleting = Promise.resolve();
        }
      },
    });

    expect(copy.manifest).toMatchObject({ counts: { runs: 1n, payloads: 2n }, missingFiles: 0n });
    expect(await copy.journal.read(runStream("going"), 0, 10)).toEqual([]);
    expect((await copy.journal.read(runStream("staying"), 0, 10)).length).toBe(3);
    expect(await copy.payloads.get("staying", payloadDigest(largeBytes(3)))).toEqual(Buffer.from(largeBytes(3)));
  });

  it("says how many files are missing that nobody has deleted, and backs up the rest", async () => {
    const running = openStorage();
    await writeRun(running, "hurt", { input: largeBytes(1), result: largeBytes(2) });
    rmSync(join(running.directory, payloadFileName(payloadDigest(largeBytes(1)))));
    const copy = await copyOf(running.directory);

    expect(copy.manifest).toMatchObject({ counts: { runs: 1n, payloads: 2n, files: 1n }, missingFiles: 1n });
    expect(await copy.payloads.get("hurt", payloadDigest(largeBytes(2)))).toEqual(Buffer.from(largeBytes(2)));
  });

  it("makes one private file, and nothing beside it", async () => {
    const running = openStorage();
    await writeRun(running, "a");
    const { file } = await copyOf(running.directory);

    expect(readdirSync(join(file, ".."))).toEqual(["backup.tar"]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("leaves nothing behind when it is interrupted", async () => {
    const running = openStorage();
    await writeRun(running, "a", { input: largeBytes(1) });
    const folder = temporaryDirectory();
    const interrupt = new AbortController();
    const backingUp = backUp({
      directory: running.directory,
      file: join(folder, "backup.tar"),
      clock: systemClock,
      signal: interrupt.signal,
      onProgress: (part) => part === "files" && interrupt.abort(new Error("enough")),
    });

    await expect(backingUp).rejects.toThrow("enough");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("does not touch a file that exists, nor one that another backup is making", async () => {
    const running = openStorage();
    const folder = temporaryDirectory();
    const file = join(folder, "backup.tar");
    const attempt = () => backUp({ directory: running.directory, file, clock: systemClock, signal });
    writeFileSync(`${file}.unfinished`, "theirs");
    await expect(attempt()).rejects.toThrow(/another backup to the same file is under way/);
    expect(readFileSync(`${file}.unfinished`, "utf8")).toBe("theirs");
    writeFileSync(file, "mine");
    await expect(attempt()).rejects.toThrow(/exists: choose another name/);
    expect(readFileSync(file, "utf8")).toBe("mine");
  });

  it("makes no backup of a damaged journal", async () => {
    const running = openStorage();
    for (let index = 0; index < 50; index++)
      await writeRun(running, `run${index}`, { input: Buffer.alloc(5_000, index) });
    await running.close();
    const path = join(running.directory, "retake.db");
    const content = readFileSync(path);
    content.fill(0xa5, content.length - 40_000, content.length - 20_000);
    writeFileSync(path, content);
    const folder = temporaryDirectory();

    await expect(
      backUp({ directory: running.directory, file: join(folder, "backup.tar"), clock: systemClock, signal }),
    ).rejects.toMatchObject({ name: "JournalOpenError", reason: "damaged" });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("names a directory without a journal", async () => {
    const directory = temporaryDirectory();
    await expect(
      backUp({ directory, file: join(temporaryDirectory(), "b.tar"), clock: systemClock, signal }),
    ).rejects.toThrow(`there is no journal in ${directory}`);
    expect(existsSync(join(directory, "retake.db"))).toBe(false);
  });
});
