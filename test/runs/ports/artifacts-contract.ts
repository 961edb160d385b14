import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import {
  ArtifactError,
  type Artifacts,
  type ArtifactWrite,
  type StoredArtifact,
} from "../../../src/runs/ports/artifacts.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";

/** Opens an empty store that takes so many bytes. */
export type OpenArtifacts = (clock: Clock, maxBytes: number) => Artifacts;

export const ada = { tenant: "default", subject: "ada" };
export const bob = { tenant: "default", subject: "bob" };
export const maxBytes = 2_000_000;

export const image: ArtifactWrite = { owner: ada, name: "boat.png", mediaType: "image/png" };

/** Bytes that differ everywhere. */
export function pattern(length: number, seed = 7): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * seed + (index >> 8)) % 256);
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

/** The bytes in pieces; after them, `then` happens. */
export async function* inPieces(bytes: Uint8Array, size = 64 * 1024, then?: () => unknown): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) {
    yield bytes.subarray(start, start + size);
  }
  await then?.();
}

export function breakOff(): never {
  throw new Error("the line is cut");
}

export async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) {
    all.push(chunk);
  }
  return Buffer.concat(all);
}

export async function problemOf(promise: Promise<unknown>): Promise<ArtifactError> {
  const error = await promise.then(
    () => new Error("it resolves"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ArtifactError);
  return error as ArtifactError;
}

/** What every store of artifacts has to hold, whatever it is made of. */
export function describeArtifacts(storeName: string, open: OpenArtifacts): void {
  describe(`${storeName} as artifacts`, () => {
    let clock: VirtualClock;
    let artifacts: Artifacts;

    beforeEach(() => {
      clock = createVirtualClock();
      artifacts = open(clock, maxBytes);
    });

    afterEach(() => artifacts.close());

    const write = (bytes: Uint8Array, more: Partial<ArtifactWrite> = {}): Promise<StoredArtifact> =>
      artifacts.write(inPieces(bytes), { ...image, ...more });

    describe("writing", () => {
      it.each([
        ["nothing", 0],
        ["a byte", 1],
        ["a chunk", 256 * 1024],
        ["a chunk and a byte", 256 * 1024 + 1],
        ["as much as it takes", maxBytes],
      ])("gives back %s, and what it is", async (_, length) => {
        const bytes = pattern(length);
        const stored = await write(bytes);

        expect(stored).toEqual({
          id: expect.stringMatching(/^[0-9a-f]{32}$/),
          sha256: expect.anything(),
          size: length,
          ...{ mediaType: "image/png", name: "boat.png", owner: ada },
          createTimeMs: clock.now(),
        });
        expect(Buffer.from(stored.sha256)).toEqual(Buffer.from(sha256(bytes)));
        expect(await artifacts.get(stored.id)).toEqual(stored);
        expect(Buffer.compare(await readAll(artifacts.read(stored)), bytes)).toBe(0);
      });

      it("is the same artifact for the same bytes, name, media type and owner", async () => {
        const stored = await write(pattern(1000));
        await clock.advance(5_000);

        expect(await write(pattern(1000))).toEqual(stored);
        const others = await Promise.all([
          write(pattern(1000, 11)),
          write(pattern(1000), { name: "ship.png" }),
          write(pattern(1000), { mediaType: "image/x-png" }),
          write(pattern(1000), { owner: bob }),
        ]);
        expect(new Set([stored, ...others].map(({ id }) => id)).size).toBe(5);
      });

      it("takes the same bytes from many at once", async () => {
        const all = await Promise.all(
          Array.from({ length: 8 }, (_, index) => write(pattern(300_000), { name: `${index % 4}` })),
        );

        expect(new Set(all.map(({ id }) => id)).size).toBe(4);
        for (const stored of all) {
          expect(Buffer.compare(await readAll(artifacts.read(stored)), pattern(300_000))).toBe(0);
        }
      });

      it("refuses more bytes than it takes as soon as that shows", async () => {
        let taken = 0;
        const endless = async function* () {
          for (;;) {
            taken += 64 * 1024;
            yield pattern(64 * 1024);
          }
        };

        expect((await problemOf(artifacts.write(endless(), image))).problem).toBe("too-large");
        expect(taken).toBeLessThan(maxBytes + 3 * 64 * 1024);
        const announced = artifacts.write(endless(), { ...image, size: maxBytes + 1 });
        expect((await problemOf(announced)).message).toContain("artifacts.max_bytes");
        expect(await artifacts.list({}, { limit: 10 })).toEqual([]);
      });

      it("refuses other bytes than were announced", async () => {
        const bytes = pattern(1000);

        expect((await problemOf(write(bytes, { sha256: sha256(pattern(999)) }))).problem).toBe("digest");
        expect((await problemOf(write(bytes, { sha256: () => sha256(pattern(999)) }))).problem).toBe("digest");
        expect((await problemOf(write(bytes, { size: 999 }))).problem).toBe("size");
        expect((await problemOf(write(bytes, { size: 1001 }))).problem).toBe("size");
        expect(await artifacts.list({}, { limit: 10 })).toEqual([]);
        await expect(write(bytes, { sha256: sha256(bytes), size: 1000 })).resolves.toMatchObject({ size: 1000 });
      });

      it("leaves nothing of what breaks off, and passes on why", async () => {
        await expect(artifacts.write(inPieces(pattern(1000), 100, breakOff), image)).rejects.toThrow("the line is cut");
        expect(await artifacts.list({}, { limit: 10 })).toEqual([]);
      });

      it("stops at a signal, also when the content never says anything again", async () => {
        const stop = new AbortController();
        const writing = artifacts.write(
          inPieces(pattern(1000), 100, () => new Promise(() => undefined)),
          { ...image, signal: stop.signal },
        );
        stop.abort(new Error("enough"));

        await expect(writing).rejects.toThrow("enough");
      });
    });

    describe("reading", () => {
      it.each([
        [0, 10],
        [0, 1],
        [999_999, 1],
        [262_143, 2],
        [262_144, 262_144],
        [1, 999_999],
      ])("gives the bytes from %i on, %i of them", async (offset, length) => {
        const bytes = pattern(1_000_000);
        const stored = await write(bytes);
        const part = await readAll(artifacts.read(stored, { offset, length }));

        expect(Buffer.compare(part, bytes.subarray(offset, offset + length))).toBe(0);
      });

      it("ends at the end, however much is asked for", async () => {
        const stored = await write(pattern(100));

        expect(await readAll(artifacts.read(stored, { offset: 90, length: Number.POSITIVE_INFINITY }))).toHaveLength(
          10,
        );
        expect(await readAll(artifacts.read(stored, { offset: 100, length: 1 }))).toHaveLength(0);
      });

      it("knows nothing that was never stored", async () => {
        expect(await artifacts.get("0".repeat(32))).toBeUndefined();
        expect(await artifacts.get("../../../etc/passwd")).toBeUndefined();
      });
    });

    describe("an upload", () => {
      const bytes = pattern(500_000);
      const upload: ArtifactWrite = { ...image, uploadId: "one" };
      const position = () => artifacts.findUpload(ada, "one");

      it("goes on where it has broken off", async () => {
        const first = artifacts.write(inPieces(bytes.subarray(0, 300_000), 100_000, breakOff), upload);
        await expect(first).rejects.toThrow("the line is cut");
        expect(await position()).toEqual({ offset: 300_000 });

        const rest = inPieces(bytes.subarray(300_000));
        const stored = await artifacts.write(rest, { ...upload, offset: 300_000, sha256: sha256(bytes) });
        expect(Buffer.compare(await readAll(artifacts.read(stored)), bytes)).toBe(0);
        expect(await position()).toEqual({ offset: 500_000, artifact: stored });
      });

      it("goes on from any byte that is there, and forgets what was behind it", async () => {
        const wrong = Buffer.concat([bytes.subarray(0, 200_000), pattern(100_000, 3)]);
        await artifacts.write(inPieces(wrong, 100_000, breakOff), upload).catch(() => undefined);
        const stored = await artifacts.write(inPieces(bytes.subarray(150_000)), { ...upload, offset: 150_000 });

        expect(Buffer.from(stored.sha256)).toEqual(sha256(bytes));
      });

      it("does not go on from a byte that is not there", async () => {
        await artifacts.write(inPieces(bytes.subarray(0, 100), 100, breakOff), upload).catch(() => undefined);

        const gap = await problemOf(artifacts.write(inPieces(bytes), { ...upload, offset: 101 }));
        expect(gap.problem).toBe("offset");
        expect(gap.message).toContain("the server has 100");
        const never = await problemOf(artifacts.write(inPieces(bytes), { ...upload, uploadId: "two", offset: 1 }));
        expect(never.problem).toBe("offset");
      });

      it("does not go on as something else", async () => {
        const begun = { ...upload, size: 500_000, sha256: sha256(bytes) };
        await artifacts.write(inPieces(bytes.subarray(0, 100), 100, breakOff), begun).catch(() => undefined);
        const goOn = async (more: Partial<ArtifactWrite>) =>
          (await problemOf(artifacts.write(inPieces(bytes.subarray(100)), { ...begun, offset: 100, ...more }))).problem;

        expect(await goOn({ name: "other" })).toBe("conflict");
        expect(await goOn({ mediaType: "image/jpeg" })).toBe("conflict");
        expect(await goOn({ size: 500_001 })).toBe("conflict");
        expect(await goOn({ sha256: sha256(pattern(1)) })).toBe("conflict");
        expect(await position()).toEqual({ offset: 100 });
      });

      it("can be begun anew, as anything", async () => {
        await artifacts.write(inPieces(bytes.subarray(0, 100), 100, breakOff), upload).catch(() => undefined);
        const stored = await artifacts.write(inPieces(pattern(5)), { ...upload, name: "other" });

        expect(stored).toMatchObject({ size: 5, name: "other" });
      });

      it("answers again without the bytes once it is complete", async () => {
        const stored = await artifacts.write(inPieces(bytes), upload);
        const again = await artifacts.write(inPieces(bytes, 1, breakOff), { ...upload, sha256: sha256(bytes) });

        expect(again).toEqual(stored);
        const late = await problemOf(artifacts.write(inPieces(bytes), { ...upload, offset: 100 }));
        expect(late.message).toContain("complete already");
      });

      it("is forgotten when its bytes are wrong, since going on would end the same way", async () => {
        const wrong = artifacts.write(inPieces(bytes), { ...upload, sha256: sha256(pattern(1)) });

        expect((await problemOf(wrong)).problem).toBe("digest");
        expect(await position()).toBeUndefined();
      });

      it("stays when it ends before the announced size", async () => {
        const short = artifacts.write(inPieces(bytes.subarray(0, 1000)), { ...upload, size: 500_000 });

        expect((await problemOf(short)).problem).toBe("size");
        expect(await position()).toEqual({ offset: 1000 });
      });

      it("is taken over by whoever goes on with it", async () => {
        const reached = Promise.withResolvers<void>();
        const first = artifacts.write(
          inPieces(bytes.subarray(0, 100), 100, () => {
            reached.resolve();
            return new Promise(() => undefined);
          }),
          upload,
        );
        const stopped = problemOf(first);
        await reached.promise;
        const stored = await artifacts.write(inPieces(bytes), upload);

        expect((await stopped).problem).toBe("taken-over");
        expect(stored.size).toBe(500_000);
      });

      it("is another one for another owner", async () => {
        await artifacts.write(inPieces(bytes.subarray(0, 100), 100, breakOff), upload).catch(() => undefined);

        expect(await artifacts.findUpload(bob, "one")).toBeUndefined();
      });

      it("is removed when nobody goes on with it", async () => {
        await artifacts.write(inPieces(bytes.subarray(0, 100), 100, breakOff), upload).catch(() => undefined);
        expect(await artifacts.removeUploads(clock.now(), 10)).toBe(0);
        await clock.advance(1_000);

        expect(await artifacts.removeUploads(clock.now(), 10)).toBe(1);
        expect(await position()).toBeUndefined();
      });

      it("is not removed while it goes on, however slowly", async () => {
        const goOn = Promise.withResolvers<void>();
        const reached = Promise.withResolvers<void>();
        const writing = artifacts.write(
          inPieces(bytes, 500_000, () => {
            reached.resolve();
            return goOn.promise;
          }),
          upload,
        );
        await reached.promise;
        await clock.advance(1_000_000);

        expect(await artifacts.removeUploads(clock.now(), 10)).toBe(0);
        goOn.resolve();
        await expect(writing).resolves.toMatchObject({ size: 500_000 });
      });

      it("is unknown once what came of it is gone", async () => {
        await artifacts.write(inPieces(bytes), upload);
        await clock.advance(1_000);
        await artifacts.removeUnkept(clock.now(), 10);

        expect(await position()).toBeUndefined();
      });
    });

    describe("listing", () => {
      it("goes from the newest to the oldest, in pages", async () => {
        for (let number = 1; number <= 5; number++) {
          await write(pattern(number), { name: `${number}`, owner: number === 2 ? bob : ada });
        }
        const names = async (filter: object, page: { limit: number; beforePosition?: number }) =>
          (await artifacts.list(filter, page)).map(({ artifact }) => artifact.name);
        const first = await artifacts.list({}, { limit: 2 });

        expect(first.map(({ artifact }) => artifact.name)).toEqual(["5", "4"]);
        expect(await names({}, { limit: 10, beforePosition: first.at(-1)?.position ?? 0 })).toEqual(["3", "2", "1"]);
        expect(await names({ owner: ada }, { limit: 10 })).toEqual(["5", "4", "3", "1"]);
        expect(await names({ owner: bob }, { limit: 10 })).toEqual(["2"]);
        expect(await names({ tenant: ada.tenant }, { limit: 10 })).toEqual(["5", "4", "3", "2", "1"]);
        expect(await names({ tenant: "another" }, { limit: 10 })).toEqual([]);
      });

      it("tells what a run keeps", async () => {
        const [one, two] = await Promise.all([write(pattern(1)), write(pattern(2))]);
        await write(pattern(3));
        await artifacts.keep("run", [one.id, two.id]);

        const kept = await artifacts.list({ runId: "run" }, { limit: 10 });
        expect(new Set(kept.map(({ artifact }) => artifact.id))).toEqual(new Set([one.id, two.id]));
        expect(await artifacts.list({ runId: "other" }, { limit: 10 })).toEqual([]);
      });
    });

    describe("keeping", () => {
      it("is all or none, and names what is not there", async () => {
        const stored = await write(pattern(1));
        const missing = ["0".repeat(32), "1".repeat(32)];
        const problem = await problemOf(artifacts.keep("run", [stored.id, ...missing]));

        expect(problem.problem).toBe("unknown");
        for (const id of missing) {
          expect(problem.message).toContain(id);
        }
        expect(await artifacts.list({ runId: "run" }, { limit: 10 })).toEqual([]);
      });

      it("begins with the writing, where a run is named", async () => {
        const stored = await write(pattern(1), { keeper: "run" });
        await clock.advance(1_000);

        expect(await artifacts.removeUnkept(clock.now(), 10)).toBe(0);
        expect(await artifacts.get(stored.id)).toEqual(stored);
      });

      it("holds until every run that keeps it is released, and the grace period after that", async () => {
        const stored = await write(pattern(1));
        await artifacts.keep("a", [stored.id]);
        await artifacts.keep("a", [stored.id]);
        await artifacts.keep("b", [stored.id]);
        await clock.advance(1_000);
        await artifacts.release(["a", "never there"]);
        await artifacts.release(["a"]);
        await clock.advance(1_000);
        expect(await artifacts.removeUnkept(clock.now(), 10)).toBe(0);

        await artifacts.release(["b"]);
        const releasedMs = clock.now();
        await clock.advance(1_000);
        expect(await artifacts.removeUnkept(releasedMs, 10)).toBe(0);
        expect(await artifacts.removeUnkept(releasedMs + 1, 10)).toBe(1);
        expect(await artifacts.get(stored.id)).toBeUndefined();
      });

      it("tells which runs keep something, a portion at a time", async () => {
        const stored = await write(pattern(1));
        await artifacts.keep("b", [stored.id]);
        const sinceMs = clock.now();
        await clock.advance(1_000);
        await artifacts.keep("a", [stored.id]);

        expect(await artifacts.listKeepers("", 1)).toEqual([{ runId: "a", sinceMs: sinceMs + 1_000 }]);
        expect(await artifacts.listKeepers("a", 10)).toEqual([{ runId: "b", sinceMs }]);
      });
    });

    describe("removing", () => {
      it("takes the oldest first, and no more than it is told", async () => {
        for (let number = 1; number <= 3; number++) {
          await write(pattern(number), { name: `${number}` });
          await clock.advance(1_000);
        }

        expect(await artifacts.removeUnkept(clock.now(), 2)).toBe(2);
        const left = await artifacts.list({}, { limit: 10 });
        expect(left.map(({ artifact }) => artifact.name)).toEqual(["3"]);
      });

      it("begins a new grace period when the same is stored again", async () => {
        await write(pattern(1));
        await clock.advance(1_000);
        await write(pattern(1));

        expect(await artifacts.removeUnkept(clock.now(), 10)).toBe(0);
      });

      it("leaves the bytes to others that have the same", async () => {
        const mine = await write(pattern(1000), { owner: ada, keeper: "run" });
        await write(pattern(1000), { owner: bob });
        await clock.advance(1_000);

        expect(await artifacts.removeUnkept(clock.now(), 10)).toBe(1);
        expect(await readAll(artifacts.read(mine))).toHaveLength(1000);
      });

      it("makes a reader that comes too late hear of it", async () => {
        const stored = await write(pattern(1000));
        await clock.advance(1_000);
        await artifacts.removeUnkept(clock.now(), 10);

        expect((await problemOf(readAll(artifacts.read(stored)))).problem).toBe("unknown");
      });
    });

    it("takes and gives nothing once it is closed, and ends what is being written", async () => {
      const stored = await write(pattern(1));
      const writing = problemOf(
        artifacts.write(
          inPieces(pattern(1), 1, () => new Promise(() => undefined)),
          image,
        ),
      );
      await artifacts.close();

      expect((await writing).problem).toBe("unavailable");
      for (const call of [() => write(pattern(1)), () => artifacts.get(stored.id), () => artifacts.keep("a", [])]) {
        expect((await problemOf(call())).problem).toBe("unavailable");
      }
      expect((await problemOf(readAll(artifacts.read(stored)))).problem).toBe("unavailable");
    });
  });
}
