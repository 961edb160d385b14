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

const quotas = { maxTotalBytes: 3000, maxBytesPerOwner: 2000 };

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
    return store.write(inPieces(pattern(length, seed + 1), 100), { ...image, ...more });
  };
  const problem = async (written: Promise<unknown>): Promise<string> => (await problemOf(written)).problem;

  it("hold for each owner, also after a restart, and until something is removed", async () => {
    await write(1500);
    expect(await problem(write(501))).toBe("quota");
    await write(500);
    await write(1000, { owner: bob });
    await reopen();
    expect(await problem(write(1))).toBe("quota");
    await clock.advance(1000);
    await store.removeUnkept(clock.now() - 500, 1);
    await write(1500);
    expect(await problem(write(1))).toBe("quota");
  });

  it("hold for all owners together", async () => {
    await write(2000);
    expect(await problem(write(1001, { owner: bob }))).toBe("quota");
    await write(1000, { owner: bob });
    expect(await problem(write(1, { owner: { tenant: "other", subject: "ada" } }))).toBe("quota");
  });

  it("refuse what is announced to be too much before any of it is asked for", async () => {
    await write(1500);
    let asked = false;
    async function* content(): AsyncGenerator<Uint8Array> {
      asked = true;
      yield pattern(1);
    }
    expect(await problem(store.write(content(), { ...image, size: 501 }))).toBe("quota");
    expect(asked).toBe(false);
  });

  it("count what is on its way, of all writes at once", async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => write(600)));
    expect(outcomes.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(3);
    // What was refused holds nothing back.
    const { length } = await store.list({}, { limit: 100 });
    await write(2000 - 600 * length);
    expect(await problem(write(1))).toBe("quota");
  });

  it("count what others have had stored since a write has asked", async () => {
    const uploads = Array.from({ length: 8 }, (_, index) => {
      const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      async function* content(): AsyncGenerator<Uint8Array> {
        yield* [pattern(1), pattern(1)];
        begun.resolve();
        await go.promise;
        yield pattern(600);
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
    expect(stored).toBeGreaterThan(1200);
    expect(stored).toBeLessThanOrEqual(2000);
  });

  it("refuse by what is stored now, whatever has been removed since a write has asked", async () => {
    await write(1500);
    async function* content(): AsyncGenerator<Uint8Array> {
      yield pattern(100);
      await clock.advance(1000);
      await store.removeUnkept(clock.now(), 1);
      yield pattern(1800);
    }
    expect((await store.write(content(), image)).size).toBe(1900);
  });

  it("count uploads that have broken off, until they are done, begun anew or removed", async () => {
    const upload = { ...image, uploadId: "one" };
    await expect(store.write(inPieces(pattern(1500), 100, breakOff), upload)).rejects.toThrow("the line is cut");
    await reopen();
    expect(await problem(write(501))).toBe("quota");
    const rest = pattern(1800).subarray(1500);
    await store.write(inPieces(rest), { ...upload, offset: 1500 });
    expect(await problem(write(201))).toBe("quota");
    await write(200);

    const other = { ...image, owner: bob, uploadId: "two" };
    for (const length of [700, 300]) {
      await expect(store.write(inPieces(pattern(length), 100, breakOff), other)).rejects.toThrow("the line is cut");
    }
    expect(await problem(write(701, { owner: bob }))).toBe("quota");
    await clock.advance(1000);
    await store.removeUploads(clock.now(), 10);
    await write(1000, { owner: bob });
  });

  it("leave of an upload that is too much what they allow, to be begun anew", async () => {
    const upload = { ...image, uploadId: "one" };
    expect(await problem(store.write(inPieces(pattern(2500), 100), upload))).toBe("quota");
    expect((await store.findUpload(ada, "one"))?.offset).toBe(2000);
    await store.write(inPieces(pattern(2000), 100), upload);
    expect(await problem(write(1))).toBe("quota");
  });

  it("leave no bytes of an upload that is begun anew as more than they allow", async () => {
    await write(1000);
    for (const uploadId of ["one", "two", "three"]) {
      const upload = { ...image, uploadId };
      await expect(store.write(inPieces(pattern(600), 100, breakOff), upload)).rejects.toThrow("the line is cut");
      expect(await problem(store.write(inPieces(pattern(1500)), { ...upload, size: 1500 }))).toBe("quota");
    }
    expect(bytesIn(join(directory, "artifacts/uploads"))).toBe(0);
  });

  it("count the same bytes once for whoever stores them again, and for each who has them", async () => {
    const bytes = pattern(1000);
    for (let times = 0; times < 2; times++) await store.write(inPieces(bytes), image);
    await store.write(inPieces(bytes), { ...image, owner: bob });
    expect(await problem(write(1001, { owner: bob }))).toBe("quota");
    await write(1000, { owner: bob });
  });

  it("know what an earlier version has stored", async () => {
    await write(1500);
    await expect(
      store.write(inPieces(pattern(400), 100, breakOff), { ...image, owner: bob, uploadId: "one" }),
    ).rejects.toThrow("the line is cut");
    await store.close();
    const index = new DatabaseSync(join(directory, "artifacts/index.sqlite"));
    const triggers = index.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all();
    for (const { name } of triggers) index.exec(`DROP TRIGGER ${name}`);
    index.exec("DROP TABLE usage; DROP TABLE usage_in_all; PRAGMA user_version = 1");
    for (const column of ["tenant", "subject"]) index.exec(`ALTER TABLE uploads DROP COLUMN ${column}`);
    index.close();
    store = open();
    expect(await problem(write(501))).toBe("quota");
    expect(await problem(write(1101, { owner: bob }))).toBe("quota");
    await write(1100, { owner: bob });
  });

  it("tell callers which they have met", async () => {
    const told = artifactConnectError(await problemOf(write(2001))) as ConnectError;
    expect(told.code).toBe(Code.ResourceExhausted);
    expect(told.findDetails(QuotaFailureSchema)[0]?.violations).toMatchObject([
      { subject: "principal:default/ada", description: expect.stringContaining("2000 bytes") },
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
