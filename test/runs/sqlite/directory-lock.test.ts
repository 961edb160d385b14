import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { lockDirectory } from "../../../src/runs/sqlite/directory-lock.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

describe("lockDirectory", () => {
  it("takes a directory for one at a time, and leaves nothing where that is asked for", () => {
    const directory = temporaryDirectory();
    const first = lockDirectory(directory, systemClock);
    expect(() => lockDirectory(directory, systemClock)).toThrow(/is in use by process \d+/);
    first.release();
    expect(readdirSync(directory)).toEqual(["lock.db"]);
    lockDirectory(directory, systemClock).release({ leavesNothing: true });
    expect(readdirSync(directory)).toEqual([]);
  });

  it("locks what others will, though the lock goes that it was about to take", () => {
    const directory = temporaryDirectory();
    const before = lockDirectory(directory, systemClock);
    const { exec } = DatabaseSync.prototype;
    const executing = vi.spyOn(DatabaseSync.prototype, "exec");
    onTestFinished(() => executing.mockRestore());
    executing.mockImplementationOnce(function (this: DatabaseSync, sql) {
      before.release({ leavesNothing: true });
      exec.call(this, sql);
    });
    const lock = lockDirectory(directory, systemClock);
    onTestFinished(() => lock.release());
    expect(existsSync(join(directory, "lock.db"))).toBe(true);
    expect(() => lockDirectory(directory, systemClock)).toThrow(/is in use by/);
  });
});
