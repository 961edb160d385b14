import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { openFileArtifacts } from "../../../src/runs/artifact-files/index.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { artifactFileName } from "../../../src/runs/sqlite/backup-artifacts.ts";
import { checkStorage, openSqliteStorage } from "../../../src/runs/sqlite/index.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { largeBytes, owner, writeRun } from "./written-runs.ts";

const { signal } = new AbortController();
const film = artifactFileName(payloadDigest(largeBytes(7)));

interface Filled {
  readonly directory: string;
  readonly filmId: string;
}

/** A directory with a run that keeps an artifact, and an artifact that nobody keeps; closed. */
async function filled(): Promise<Filled> {
  const directory = temporaryDirectory();
  const storage = openSqliteStorage({ directory, clock: systemClock });
  await writeRun(storage, "a");
  const artifacts = openFileArtifacts({ directory, clock: systemClock, maxBytes: 1_000_000 });
  const write = (seed: number) =>
    artifacts.write(chunks(largeBytes(seed)), { owner, name: `${seed}`, mediaType: "text/plain" });
  const { id: filmId } = await write(7);
  await write(8);
  await artifacts.keep("a", [filmId]);
  await artifacts.close();
  await storage.close();
  return { directory, filmId };
}

async function* chunks(...all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

const check = (directory: string) => checkStorage({ directory, clock: systemClock, signal });

function change(directory: string, sql: string): void {
  const index = new DatabaseSync(join(directory, "artifacts", "index.sqlite"));
  index.exec(sql);
  index.close();
}

const messages = (found: readonly { readonly message: string }[]) => found.map(({ message }) => message);

describe("checkStorage with artifacts", () => {
  it("finds nothing wrong with what a server has written, and counts it", async () => {
    const { directory } = await filled();
    const { counts, problems, leftovers } = await check(directory);

    expect({ problems, leftovers }).toEqual({ problems: [], leftovers: [] });
    expect(counts?.artifacts).toBe(2n);
    expect(Number(counts?.artifactBytes)).toBeGreaterThan(600_000);
  });

  it.each([
    ["is missing", (path: string) => rmSync(path), ["is not there"]],
    [
      "is cut off",
      (path: string) => writeFileSync(path, largeBytes(7).subarray(0, 1_000)),
      ["has bytes of another digest", "has 1000 bytes, and the index says 300000"],
    ],
    ["has other bytes", (path: string) => writeFileSync(path, largeBytes(9)), ["has bytes of another digest"]],
  ])("finds a file that %s", async (_, harm, told) => {
    const { directory, filmId } = await filled();
    harm(join(directory, film));

    expect(messages((await check(directory)).problems)).toEqual(
      told.map((message) => `${film} of artifact ${filmId} ${message}`),
    );
  });

  it("finds what a run keeps and is not there, and a count that would let an artifact be removed too early", async () => {
    const { directory, filmId } = await filled();
    change(directory, "INSERT INTO kept VALUES ('a', 77, 0); UPDATE artifacts SET keepers = 0");
    const { problems } = await check(directory);

    expect(messages(problems)).toEqual([
      "run a keeps an artifact that is not there",
      `artifact ${filmId} is kept by 1 of the runs, and its row says 0`,
    ]);
    expect(problems[0]?.runId).toBe("a");
  });

  it("finds an index that cannot be read, and goes on without it", async () => {
    const { directory } = await filled();
    writeFileSync(
      join(directory, "artifacts", "index.sqlite"),
      "no database, but longer than a hundred bytes ".repeat(9),
    );
    const { problems, counts } = await check(directory);

    expect(messages(problems)).toEqual([
      expect.stringMatching(
        /^the index of artifacts is damaged, and a part of it cannot be read: file is not a database/,
      ),
    ]);
    expect(counts?.runs).toBe(1n);
  });

  it("tells what a crash leaves behind apart from damage", async () => {
    const { directory } = await filled();
    change(
      directory,
      "INSERT INTO kept SELECT 'gone', position, 0 FROM artifacts WHERE name = '8'; UPDATE artifacts SET keepers = 1",
    );
    const orphan = artifactFileName(payloadDigest(largeBytes(9)));
    mkdirSync(dirname(join(directory, orphan)), { recursive: true });
    writeFileSync(join(directory, orphan), largeBytes(9));
    const { problems, leftovers } = await check(directory);

    expect(problems).toEqual([]);
    expect(messages(leftovers)).toEqual(["run gone keeps an artifact, and is not there", `no artifact has ${orphan}`]);
  });
});
