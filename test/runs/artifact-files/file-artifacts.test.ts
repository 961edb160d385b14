import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openFileArtifacts } from "../../../src/runs/artifact-files/index.ts";
import type { Artifacts } from "../../../src/runs/ports/artifacts.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import {
  ada,
  breakOff,
  describeArtifacts,
  image,
  inPieces,
  maxBytes,
  pattern,
  problemOf,
  readAll,
  sha256,
} from "../ports/artifacts-contract.ts";

const directories: string[] = [];

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "retake-test-"));
  directories.push(directory);
  return directory;
}

afterEach(() => {
  for (const directory of directories.splice(0)) {
    rmSync(directory, { recursive: true, force: true });
  }
});

describeArtifacts("files", (clock, most) => openFileArtifacts({ directory: newDirectory(), clock, maxBytes: most }));

describe("artifacts in files", () => {
  let directory: string;
  let clock: VirtualClock;
  let store: Artifacts;
  let syncFailure: (Error & { code?: string }) | undefined;

  const open = (): Artifacts =>
    openFileArtifacts({
      directory,
      clock,
      maxBytes,
      sync: async () => {
        if (syncFailure !== undefined) throw syncFailure;
      },
    });

  beforeEach(() => {
    directory = newDirectory();
    clock = createVirtualClock();
    syncFailure = undefined;
    store = open();
  });

  afterEach(() => store.close());

  async function reopen(): Promise<void> {
    await store.close();
    store = open();
  }

  /** Files with their sizes, by path within the folder of artifacts; the index apart. */
  async function files(): Promise<Record<string, number>> {
    const root = join(directory, "artifacts");
    const found: Record<string, number> = {};
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && !entry.name.startsWith("index.sqlite")) {
        found[path.slice(root.length + 1)] = (await stat(path)).size;
      }
    }
    return found;
  }

  function pathOf(bytes: Uint8Array): string {
    const name = Buffer.from(sha256(bytes)).toString("hex");
    return `${name.slice(0, 2)}/${name.slice(2)}`;
  }

  it("make nothing before the first one is stored, whatever is asked", async () => {
    expect(await store.get("0".repeat(32))).toBeUndefined();
    expect(await store.list({}, { limit: 10 })).toEqual([]);
    expect(await store.findUpload(ada, "one")).toBeUndefined();
    expect(await store.removeUnkept(clock.now(), 10)).toBe(0);
    await store.release(["run"]);
    expect((await problemOf(store.keep("run", ["0".repeat(32)]))).problem).toBe("unknown");

    expect(await readdir(directory)).toEqual([]);
  });

  it("are one file for the same bytes, under their digest, for this user alone", async () => {
    const bytes = pattern(1000);
    await store.write(inPieces(bytes), image);
    await store.write(inPieces(bytes), { ...image, name: "other.png" });

    expect(await files()).toEqual({ [pathOf(bytes)]: 1000 });
    const { mode } = await stat(join(directory, "artifacts", pathOf(bytes)));
    expect(mode & 0o077).toBe(0);
  });

  it("survive a restart, with their keepers, and uploads can be continued", async () => {
    const kept = await store.write(inPieces(pattern(1000)), { ...image, keeper: "run" });
    const upload = { ...image, uploadId: "one" };
    await store.write(inPieces(pattern(700_000), 100_000, breakOff), upload).catch(() => undefined);
    await reopen();

    expect(await store.get(kept.id)).toEqual(kept);
    expect(await store.listKeepers("", 10)).toEqual([{ runId: "run", sinceMs: clock.now() }]);
    expect(await store.findUpload(ada, "one")).toEqual({ offset: 700_000 });
    const whole = pattern(900_000);
    const stored = await store.write(inPieces(whole.subarray(700_000)), { ...upload, offset: 700_000 });
    expect(Buffer.compare(await readAll(store.read(stored)), whole)).toBe(0);
    expect(Object.keys(await files()).sort()).toEqual([pathOf(pattern(1000)), pathOf(whole)].sort());
  });

  it("hold no bytes of an upload that its continuation has left out", async () => {
    const upload = { ...image, uploadId: "one" };
    await store.write(inPieces(pattern(1000), 1000, breakOff), upload).catch(() => undefined);
    const whole = pattern(600);
    await store.write(inPieces(whole.subarray(500)), { ...upload, offset: 500, sha256: sha256(whole) });

    expect(await files()).toEqual({ [pathOf(whole)]: 600 });
  });

  it("do not go on with bytes of an upload that the disk has lost", async () => {
    const upload = { ...image, uploadId: "one" };
    await store.write(inPieces(pattern(1000), 1000, breakOff), upload).catch(() => undefined);
    const [name = ""] = await readdir(join(directory, "artifacts", "uploads"));
    await truncate(join(directory, "artifacts", "uploads", name), 10);

    const gap = await problemOf(store.write(inPieces(pattern(5)), { ...upload, offset: 1000 }));
    expect(gap.problem).toBe("offset");
    await expect(store.write(inPieces(pattern(1000)), upload)).resolves.toMatchObject({ size: 1000 });
  });

  it("leave no file of what breaks off, is too large, or is removed", async () => {
    await store.write(inPieces(pattern(1000), 100, breakOff), image).catch(() => undefined);
    await store.write(inPieces(pattern(maxBytes + 1)), { ...image, uploadId: "one" }).catch(() => undefined);
    await store.write(inPieces(pattern(10), 10, breakOff), { ...image, uploadId: "two" }).catch(() => undefined);
    await store.write(inPieces(pattern(1000)), image);
    await clock.advance(1_000);
    await store.removeUnkept(clock.now(), 10);
    await store.removeUploads(clock.now(), 10);

    expect(await files()).toEqual({});
  });

  it("remove at the next start what a crash has left", async () => {
    const kept = await store.write(inPieces(pattern(1000)), { ...image, keeper: "run" });
    await store.close();
    const root = join(directory, "artifacts");
    await mkdir(join(root, "ab"), { recursive: true });
    await writeFile(join(root, "ab", "c".repeat(62)), "whose row was never written");
    await writeFile(join(root, "unfinished", "1"), "half");
    store = open();
    await store.get(kept.id);
    // Sweeping is finished when the store is closed, if it was not stopped before.
    await expect.poll(files).toEqual({ [pathOf(pattern(1000))]: 1000 });
  });

  it("write again what a damaged file of the same bytes does not hold", async () => {
    const bytes = pattern(1000);
    const stored = await store.write(inPieces(bytes), image);
    await truncate(join(directory, "artifacts", pathOf(bytes)), 10);

    const damaged = await problemOf(readAll(store.read(stored)));
    expect(damaged.problem).toBe("damaged");
    expect(damaged.message).toContain("upload it again");
    await store.write(inPieces(bytes), image);
    expect(await readFile(join(directory, "artifacts", pathOf(bytes)))).toHaveLength(1000);
  });

  it("refuse what cannot be made durable, say that the disk is full, and take it once there is space", async () => {
    syncFailure = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    const full = await problemOf(store.write(inPieces(pattern(1000)), { ...image, uploadId: "one" }));
    expect(full.problem).toBe("full");
    expect(full.message).toContain(directory);
    syncFailure = Object.assign(new Error("i/o error"), { code: "EIO" });
    expect((await problemOf(store.write(inPieces(pattern(1000)), image))).problem).toBe("unavailable");
    expect(await store.findUpload(ada, "one")).toEqual({ offset: 0 });

    syncFailure = undefined;
    await expect(store.write(inPieces(pattern(1000)), { ...image, uploadId: "one" })).resolves.toMatchObject({
      size: 1000,
    });
  });

  it("tell what is wrong with a folder that cannot be used, and use it once it can", async () => {
    await writeFile(join(directory, "artifacts"), "a file");
    const problem = await problemOf(store.write(inPieces(pattern(10)), image));
    expect(problem.problem).toBe("unavailable");

    rmSync(join(directory, "artifacts"));
    await expect(store.write(inPieces(pattern(10)), image)).resolves.toMatchObject({ size: 10 });
  });

  it("are not touched when a newer version wrote them", async () => {
    await store.write(inPieces(pattern(10)), image);
    await store.close();
    const index = new DatabaseSync(join(directory, "artifacts", "index.sqlite"));
    index.exec("PRAGMA user_version = 99");
    index.close();
    store = open();

    const problem = await problemOf(store.list({}, { limit: 10 }));
    expect(problem.problem).toBe("unavailable");
    expect(problem.message).toContain("written by a newer version");
  });

  it("are read as they are asked for, however large", async () => {
    const stored = await store.write(inPieces(pattern(maxBytes)), image);
    const reading = store.read(stored);
    const first = await reading.next();
    await reading.return();

    expect(first.value?.length).toBe(256 * 1024);
  });
});
