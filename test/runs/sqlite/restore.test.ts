import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { runStream } from "../../../src/runs/ports/journal.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { ArchiveWriter, readArchive } from "../../../src/runs/sqlite/backup-archive.ts";
import { lockDirectory } from "../../../src/runs/sqlite/directory-lock.ts";
import { backUp, openSqliteStorage, restore } from "../../../src/runs/sqlite/index.ts";
import { payloadFileName } from "../../../src/runs/sqlite/payload-file-names.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { largeBytes, writeRun } from "./written-runs.ts";

const { signal } = new AbortController();
let backup: Buffer;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "retake-test-"));
  const storage = openSqliteStorage({ directory, clock: systemClock });
  await writeRun(storage, "small");
  await writeRun(storage, "large", { result: largeBytes(1) });
  const file = join(directory, "backup.tar");
  await backUp({ directory, file, clock: systemClock, signal });
  await storage.close();
  backup = readFileSync(file);
  rmSync(directory, { recursive: true });
});

function fileWith(content: Uint8Array): string {
  const file = join(temporaryDirectory(), "backup.tar");
  writeFileSync(file, content);
  return file;
}

function restoring(content: Uint8Array, directory: string) {
  return restore({ file: fileWith(content), directory, clock: systemClock, signal });
}

function opened(directory: string) {
  const storage = openSqliteStorage({ directory, clock: systemClock });
  onTestFinished(() => storage.close());
  return storage;
}

describe("restore", () => {
  it("makes a data directory that is not there, for this user alone", async () => {
    const directory = join(temporaryDirectory(), "deep", "data");
    const manifest = await restoring(backup, directory);

    expect(manifest.counts).toMatchObject({ runs: 2n, openRuns: 0n, events: 6n, payloads: 4n, files: 1n });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, "retake.db")).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory).sort()).toEqual(["lock.db", "payloads", "retake.db"]);
    const { journal, payloads } = opened(directory);
    expect((await journal.read(runStream("small"), 0, 10)).length).toBe(3);
    expect(await payloads.get("large", payloadDigest(largeBytes(1)))).toEqual(Buffer.from(largeBytes(1)));
  });

  it("takes an empty directory, also a volume with its lost+found", async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, "lost+found"));
    await restoring(backup, directory);

    expect(existsSync(join(directory, "retake.db"))).toBe(true);
  });

  it.each([
    ["a journal", "retake.db", /has a journal in it: restore into another directory/],
    ["anything else", "notes.txt", /is not empty, it has notes\.txt in it/],
    ["payloads", "payloads", /is not empty, it has payloads in it/],
  ])("refuses a directory with %s, and leaves that alone", async (_, name, message) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, name), "mine");

    await expect(restoring(backup, directory)).rejects.toThrow(message);
    expect(readdirSync(directory)).toEqual([name]);
    expect(readFileSync(join(directory, name), "utf8")).toBe("mine");
  });

  it("refuses a directory that a server uses", async () => {
    const directory = temporaryDirectory();
    const { close } = openSqliteStorage({ directory, clock: systemClock });
    await expect(restoring(backup, directory)).rejects.toThrow(/has a journal in it/);
    await close();
  });

  it("finds whichever byte is changed, and shows nothing of the backup", async () => {
    const found = new Set<string>();
    // All of them would take minutes. These are in headers, in contents, and in the padding between.
    for (let offset = 0; offset < backup.length; offset += 4_099) {
      const changed = Buffer.from(backup);
      changed[offset] = (changed[offset] ?? 0) ^ 0x20;
      const directory = join(temporaryDirectory(), "data");
      const outcome = await restoring(changed, directory).then(
        () => "restored",
        (error: Error) => error.message,
      );
      if (outcome === "restored") {
        // Padding holds nothing, and what is behind the end counts for nothing.
        expect(paddingAt(offset)).toBe(true);
      } else {
        found.add(outcome);
        expect(existsSync(directory)).toBe(false);
      }
    }
    expect([...found].join()).toContain("its checksum is another one");
  });

  it("finds that the end is cut off, wherever", async () => {
    for (const length of [511, 512, 2_000, 200_000, backup.length - 3_000]) {
      const parent = temporaryDirectory();
      const directory = join(parent, "deep", "data");
      const error = await restoring(backup.subarray(0, length), directory).catch((cause: Error) => cause);
      expect([length, error]).toEqual([length, expect.objectContaining({ name: "BackupError" })]);
      expect(readdirSync(parent)).toEqual([]);
    }
  });

  it.each([
    ["an empty file", new Uint8Array()],
    ["a file of another kind", Buffer.from("hello".repeat(1_000))],
  ])("refuses %s", async (_, content) => {
    await expect(restoring(content, join(temporaryDirectory(), "data"))).rejects.toThrow(/is no backup of Retake/);
  });

  it("names a file that is not there", async () => {
    const file = join(temporaryDirectory(), "gone.tar");
    await expect(
      restore({ file, directory: join(temporaryDirectory(), "data"), clock: systemClock, signal }),
    ).rejects.toThrow(`there is no file ${file}`);
  });

  it.each(["../outside", "/etc/passwd", "payloads/../../outside", "payloads/ab/short", "retake.db-wal"])(
    "takes no file for %s",
    async (name) => {
      const path = join(temporaryDirectory(), "made.tar");
      const file = await open(path, "wx");
      const writer = new ArchiveWriter(file, 0);
      await writer.begin();
      await writer.addText(name, "x");
      await writer.finish();
      await file.close();
      const directory = join(temporaryDirectory(), "data");

      await expect(restore({ file: path, directory, clock: systemClock, signal })).rejects.toThrow(
        `it has ${JSON.stringify(name)} in it`,
      );
      expect(existsSync(directory)).toBe(false);
      expect(existsSync(join(directory, "..", "outside"))).toBe(false);
    },
  );

  it.each([
    [{ runs: "3" }, "it has 2 runs, and says that it has 3"],
    [{ events: "5" }, "it has 6 events, and says that it has 5"],
    [{ files: "2" }, "it has 1 payload files, and says that it has 2"],
  ])("finds that something else is in it than its manifest says", async (counts, message) => {
    const changed = await repacked((name, bytes) => {
      if (name !== "manifest.json") return bytes;
      const manifest = JSON.parse(bytes.toString()) as { counts: object };
      return Buffer.from(JSON.stringify({ ...manifest, counts: { ...manifest.counts, ...counts } }));
    });

    await expect(restoring(changed, join(temporaryDirectory(), "data"))).rejects.toThrow(message);
  });

  it("finds that a file is not in it that its journal refers to", async () => {
    const name = payloadFileName(payloadDigest(largeBytes(1)));
    const changed = await repacked((entry, bytes) => {
      if (entry === name) return undefined;
      return Buffer.from(bytes.toString("latin1").replace(/"files": ?"1"/, '"files": "0"'), "latin1");
    });

    await expect(restoring(changed, join(temporaryDirectory(), "data"))).rejects.toThrow(
      "1 files are missing, and it says 0",
    );
  });

  it("repeats what was interrupted, before which no server starts there", async () => {
    const directory = temporaryDirectory();
    // As it is when the process dies between the two renamings.
    mkdirSync(join(directory, "restoring"));
    writeFileSync(join(directory, "restoring", "retake.db"), "half");
    mkdirSync(join(directory, "payloads", "ab"), { recursive: true });
    expect(() => openSqliteStorage({ directory, clock: systemClock })).toThrow(/has not come to its end: repeat it/);
    await restoring(backup, directory);

    expect(readdirSync(join(directory, "payloads"))).toEqual([
      payloadFileName(payloadDigest(largeBytes(1))).split("/")[1],
    ]);
    expect((await opened(directory).journal.read(runStream("large"), 0, 10)).length).toBe(3);
  });

  it("is repeated where its process was killed", async () => {
    const directory = temporaryDirectory();
    const killed = join(directory, "killed");
    const working = join(directory, "working");
    mkdirSync(working);
    const lock = lockDirectory(working, systemClock);
    mkdirSync(join(working, "restoring"));
    // What a kill leaves: nobody has closed anything.
    cpSync(working, killed, { recursive: true });
    lock.release();
    expect(readdirSync(killed)).toContain("lock.db-journal");
    await restoring(backup, killed);
    expect(readdirSync(killed)).toContain("retake.db");
  });

  it("leaves the directory as it was when it is interrupted", async () => {
    const directory = temporaryDirectory();
    const interrupt = new AbortController();
    const stopped = restore({
      file: fileWith(backup),
      directory,
      clock: systemClock,
      signal: interrupt.signal,
      onProgress: () => interrupt.abort(new Error("enough")),
    });

    await expect(stopped).rejects.toThrow("enough");
    expect(readdirSync(directory)).toEqual([]);
  });
});

/** The backup with other entries, and a checksum that says so. */
async function repacked(change: (name: string, bytes: Buffer) => Buffer | undefined): Promise<Buffer> {
  const path = join(temporaryDirectory(), "repacked.tar");
  const from = await open(fileWith(backup), "r");
  const to = await open(path, "wx");
  const writer = new ArchiveWriter(to, 0);
  await writer.begin();
  for await (const { name, body } of readArchive(from, "backup")) {
    const bytes = change(name, Buffer.concat(await bytesOf(body)));
    if (bytes !== undefined) await writer.add(name, bytes.length, [bytes]);
  }
  await writer.finish();
  await from.close();
  await to.close();
  return readFileSync(path);
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return chunks;
}

/** Whether an offset of the backup is in no entry: in the padding behind one, or in the end of the archive. */
function paddingAt(offset: number): boolean {
  for (let at = 0; at < backup.length; ) {
    const header = backup.subarray(at, at + 512);
    if (header.every((byte) => byte === 0)) return offset >= at;
    const size = Number.parseInt(header.toString("latin1", 124, 135), 8);
    const end = at + 512 + size;
    if (offset < end) return false;
    at = end + ((512 - (size % 512)) % 512);
    if (offset < at) return true;
  }
  return true;
}
