import { closeSync, copyFileSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { LogLostError, rewriteLog } from "../../../src/runs/sqlite/rewrite-log.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const frameBytes = 24 + 4096;

describe("rewriteLog", () => {
  let log: string;
  let frames: number;

  /** A copy of a real log, the second that the file holds, so that frames of the first one lie behind it. */
  beforeEach(() => {
    const directory = temporaryDirectory();
    const path = join(directory, "x.db");
    const database = new DatabaseSync(path);
    onTestFinished(() => database.close());
    database.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (data BLOB)");
    database.exec("INSERT INTO t VALUES (randomblob(900000))");
    database.prepare("PRAGMA wal_checkpoint(RESTART)").get();
    database.exec("INSERT INTO t VALUES (randomblob(500000)); INSERT INTO t VALUES (randomblob(500000))");
    frames = Number(database.prepare("PRAGMA wal_checkpoint(NOOP)").get()?.["log"]);
    log = join(directory, "copy");
    copyFileSync(`${path}-wal`, log);
  });

  function overwrite(position: number, length: number): void {
    const file = openSync(log, "r+");
    writeSync(file, Buffer.alloc(length, 0xa5), 0, length, position);
    closeSync(file);
  }

  it("finds a sound log sound, and leaves it as it is", () => {
    const before = readFileSync(log);
    expect(frames).toBeGreaterThan(240);
    rewriteLog(log, frames);

    expect(readFileSync(log).equals(before)).toBe(true);
  });

  it("needs no log when nothing is in it", () => {
    rewriteLog("/nowhere/at/all", 0);
  });

  it.each([
    ["the header", () => overwrite(0, 32)],
    ["a checksum of the header", () => overwrite(24, 4)],
    ["the first frame", () => overwrite(32 + 100, 4)],
    ["a frame in the middle", () => overwrite(32 + 120 * frameBytes + 24, 4096)],
    ["the last frame", () => overwrite(32 + (frames - 1) * frameBytes + 2_000, 8)],
    ["the end of the file", () => truncateSync(log, 32 + (frames - 1) * frameBytes + 50)],
  ])("notices when %s is not what was written", (_, damage) => {
    damage();
    expect(() => rewriteLog(log, frames)).toThrow(LogLostError);
  });

  it("notices when a frame is one of an earlier log", () => {
    expect(() => rewriteLog(log, frames + 1)).toThrow(
      `of ${frames + 1} frames of the write-ahead log only the first ${frames} are intact`,
    );
  });
});
