import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QuotaFailureSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { openFileArtifacts } from "../../../src/runs/artifact-files/index.ts";
import { artifactConnectError } from "../../../src/runs/artifacts/connect-error.ts";
import type { Artifacts, ArtifactWrite, StoredArtifact } from "../../../src/runs/ports/artifacts.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/index.ts";
import { ada, bob, breakOff, image, inPieces, maxBytes, pattern, problemOf } from "../ports/artifacts-contract.ts";
import { temporaryDirectory } from "../sqlite/temporary-directory.ts";

const quotas = { maxTotalBytes: 300_000, maxBytesPerOwner: 200_000 };

describe("quotas of artifacts", () => {
  let directory: string;
  let clock: VirtualClock;
  let store: Artifacts;

  const open = (): Artifacts => openFileArtifacts({ directory, clock, maxBytes, ...quotas });

  beforeEach(() => {
    directory = temporaryDirectory();
    clock = createVirtualClock();
    store = open();
  });
  afterEach(() => store.close());

  async function reopen(): Promise<void> {
    await store.close();
    store = open();
  }

  let seed = 0;
  /** Bytes that nobody has stored before. */
  const write = (length: number, more: Partial<ArtifactWrite> = {}): Promise<StoredArtifact> => {
    seed += 2;
    return store.write(inPieces(pattern(length, seed + 1), 10_000), { ...image, ...more });
  };
  const problem = async (written: Promise<unknown>): Promise<string> => (await problemOf(written)).problem;

  it("hold for each owner, also after a restart, and until something is removed", async () => {
    await write(150_000);
    expect(await problem(write(50_001))).toBe("quota");
    await write(50_000);
    await write(100_000, { owner: bob });
    await reopen();
    expect(await problem(write(1))).toBe("quota");
    await clock.advance(1000);
    await store.removeUnkept(clock.now() - 500, 1);
    await write(150_000);
    expect(await problem(write(1))).toBe("quota");
  });

  it("hold for all owners together", async () => {
    await write(200_000);
    expect(await problem(write(100_001, { owner: bob }))).toBe("quota");
    await write(100_000, { owner: bob });
    expect(await problem(write(1, { owner: { tenant: "other", subject: "ada" } }))).toBe("quota");
  });

  it("refuse what is announced to be too much before any of it is asked for", async () => {
    await write(150_000);
    let asked = false;
    async function* content(): AsyncGenerator<Uint8Array> {
      asked = true;
      yield pattern(1);
    }
    expect(await problem(store.write(content(), { ...image, size: 50_001 }))).toBe("quota");
    expect(asked).toBe(false);
  });

  it("count what is on its way, of all writes at once", async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => write(60_000)));
    expect(outcomes.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(3);
    // What was refused holds nothing back.
    const { length } = await store.list({}, { limit: 100 });
    await write(200_000 - 60_000 * length);
    expect(await problem(write(1))).toBe("quota");
  });

  it("count what others have had stored since a write has asked", async () => {
    const uploads = Array.from({ length: 8 }, (_, index) => {
      const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      async function* content(): AsyncGenerator<Uint8Array> {
        yield* [pattern(1), pattern(1)];
        begun.resolve();
        await go.promise;
        yield pattern(60_000);
        breakOff();
      }
      const uploadId = `upload ${index}`;
      const ended = store.write(content(), { ...image, uploadId }).catch((error: Error) => error);
      return { uploadId, begun: begun.promise, go: go.resolve, ended };
    });
    await Promise.all(uploads.map(({ begun }) => begun));
    let stored = 0;
    for (const { uploadId, go, ended } of uploads) {
      go();
      await ended;
      stored += (await store.findUpload(ada, uploadId))?.offset ?? 0;
    }
    expect(stored).toBeGreaterThan(120_000);
    expect(stored).toBeLessThanOrEqual(200_000);
  });

  it("refuse by what is stored now, whatever has been removed since a write has asked", async () => {
    await write(150_000);
    async function* content(): AsyncGenerator<Uint8Array> {
      yield pattern(10_000);
      await clock.advance(1000);
      await store.removeUnkept(clock.now(), 1);
      yield pattern(180_000);
    }
    expect((await store.write(content(), image)).size).toBe(190_000);
  });

  it("count uploads that have broken off, until they are done, begun anew or removed", async () => {
    const upload = { ...image, uploadId: "one" };
    await expect(store.write(inPieces(pattern(150_000), 10_000, breakOff), upload)).rejects.toThrow("the line is cut");
    await reopen();
    expect(await problem(write(50_001))).toBe("quota");
    const rest = pattern(180_000).subarray(150_000);
    await store.write(inPieces(rest), { ...upload, offset: 150_000 });
    expect(await problem(write(20_001))).toBe("quota");
    await write(20_000);

    const other = { ...image, owner: bob, uploadId: "two" };
    for (const length of [70_000, 30_000]) {
      await expect(store.write(inPieces(pattern(length), 10_000, breakOff), other)).rejects.toThrow("the line is cut");
    }
    expect(await problem(write(70_001, { owner: bob }))).toBe("quota");
    await clock.advance(1000);
    await store.removeUploads(clock.now(), 10);
    await write(100_000, { owner: bob });
  });

  it("leave of an upload that is too much what they allow, to be begun anew", async () => {
    const upload = { ...image, uploadId: "one" };
    expect(await problem(store.write(inPieces(pattern(250_000), 10_000), upload))).toBe("quota");
    expect((await store.findUpload(ada, "one"))?.offset).toBe(200_000);
    await store.write(inPieces(pattern(200_000), 10_000), upload);
    expect(await problem(write(1))).toBe("quota");
  });

  it("leave no bytes of an upload that is begun anew as more than they allow", async () => {
    await write(100_000);
    for (const uploadId of ["one", "two", "three"]) {
      const upload = { ...image, uploadId };
      await expect(store.write(inPieces(pattern(60_000), 10_000, breakOff), upload)).rejects.toThrow("the line is cut");
      expect(await problem(store.write(inPieces(pattern(150_000)), { ...upload, size: 150_000 }))).toBe("quota");
    }
    expect(bytesIn(join(directory, "artifacts/uploads"))).toBe(0);
  });

  it("count no artifact as less than what the smallest file takes", async () => {
    await write(190_000);
    await write(0, { name: "one" });
    await write(1, { name: "two" });
    for (const size of [0, 1, 4096]) expect(await problem(write(size, { name: "three" }))).toBe("quota");
    await write(0, { owner: bob });
    await clock.advance(1000);
    await store.removeUnkept(clock.now(), 10);
    await write(190_000);
    await write(8192);
    expect(await problem(write(1))).toBe("quota");
  });

  it("count no upload as less than that, and leave nothing of one that they refuse from the start", async () => {
    await write(190_000);
    for (const uploadId of ["one", "two"]) {
      const upload = { ...image, uploadId };
      await expect(store.write(inPieces(pattern(0), 1, breakOff), upload)).rejects.toThrow("the line is cut");
    }
    const refused = { ...image, uploadId: "three" };
    expect(await problem(store.write(inPieces(pattern(1)), refused))).toBe("quota");
    expect(await store.findUpload(ada, "three")).toBeUndefined();
    await store.write(inPieces(pattern(4096), 1000), { ...image, uploadId: "one" });
    await store.write(inPieces(pattern(5000), 1000), { ...image, uploadId: "two" });
    expect(await problem(store.write(inPieces(pattern(1)), refused))).toBe("quota");
  });

  it("count the same bytes once for whoever stores them again, and for each who has them", async () => {
    const bytes = pattern(100_000);
    for (let times = 0; times < 2; times++) await store.write(inPieces(bytes), image);
    await store.write(inPieces(bytes), { ...image, owner: bob });
    expect(await problem(write(100_001, { owner: bob }))).toBe("quota");
    await write(100_000, { owner: bob });
  });

  it("know what an earlier version has stored", async () => {
    await write(150_000);
    await expect(
      store.write(inPieces(pattern(40_000), 10_000, breakOff), { ...image, owner: bob, uploadId: "one" }),
    ).rejects.toThrow("the line is cut");
    await store.close();
    const index = new DatabaseSync(join(directory, "artifacts/index.sqlite"));
    const triggers = index.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all();
    for (const { name } of triggers) index.exec(`DROP TRIGGER ${name}`);
    index.exec("DROP TABLE usage; DROP TABLE usage_in_all; PRAGMA user_version = 1");
    for (const column of ["tenant", "subject"]) index.exec(`ALTER TABLE uploads DROP COLUMN ${column}`);
    index.close();
    store = open();
    expect(await problem(write(50_001))).toBe("quota");
    expect(await problem(write(110_001, { owner: bob }))).toBe("quota");
    await write(110_000, { owner: bob });
  });

  it("tell callers which they have met", async () => {
    const told = artifactConnectError(await problemOf(write(200_001))) as ConnectError;
    expect(told.code).toBe(Code.ResourceExhausted);
    expect(told.findDetails(QuotaFailureSchema)[0]?.violations).toMatchObject([
      { subject: "principal:default/ada", description: expect.stringContaining("200000 bytes") },
    ]);
  });
});

it("artifacts may fill half of the disk, and those of one owner half of that, where nothing else is said", async () => {
  const store = openFileArtifacts({ directory: temporaryDirectory(), clock: createVirtualClock(), maxBytes: 2 ** 50 });
  await store.write(inPieces(pattern(1000)), image);
  expect((await problemOf(store.write(inPieces(pattern(1)), { ...image, size: 2 ** 49 }))).problem).toBe("quota");
  await store.close();
});

function bytesIn(folder: string): number {
  return readdirSync(folder).reduce((bytes, file) => bytes + statSync(join(folder, file)).size, 0);
}
