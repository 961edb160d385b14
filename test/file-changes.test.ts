import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FileChanges } from "../src/file-changes.ts";
import { createVirtualClock } from "../src/testing/index.ts";
import { temporaryDirectory } from "./runs/sqlite/temporary-directory.ts";

function watched(...names: string[]) {
  const directory = temporaryDirectory();
  const clock = createVirtualClock();
  const seen = { changes: 0 };
  const path = (name: string): string => join(directory, name);
  const changes = new FileChanges({
    files: names.map(path),
    clock,
    onChange: () => {
      seen.changes++;
    },
  });
  onTestFinished(() => changes.close());
  return { clock, seen, path, changes };
}

describe("changes of files", () => {
  it("are noticed within ten seconds, and the first look is one", async () => {
    const { clock, seen, path } = watched("a", "b");
    writeFileSync(path("a"), "1");
    writeFileSync(path("b"), "1");
    await clock.advance(10_000);
    expect(seen.changes).toBe(1);
    await clock.advance(60_000);
    expect(seen.changes).toBe(1);
    writeFileSync(path("b"), "22");
    await clock.advance(9_999);
    expect(seen.changes).toBe(1);
    await clock.advance(1);
    expect(seen.changes).toBe(2);
  });

  it("are noticed at once by a check", () => {
    const { seen, path, changes } = watched("a");
    changes.check();
    writeFileSync(path("a"), "1");
    changes.check();
    changes.check();
    expect(seen.changes).toBe(2);
    rmSync(path("a"));
    changes.check();
    expect(seen.changes).toBe(3);
  });

  it("are noticed when a link on the way leads elsewhere, and when another file takes the name", () => {
    const { seen, path, changes } = watched("current/key");
    for (const version of ["one", "two"]) {
      mkdirSync(path(version));
      writeFileSync(path(`${version}/key`), "same size");
    }
    symlinkSync("one", path("current"));
    changes.check();
    symlinkSync("two", path("next"));
    renameSync(path("next"), path("current"));
    changes.check();
    expect(seen.changes).toBe(2);
    writeFileSync(path("new"), "same size");
    renameSync(path("new"), path("two/key"));
    changes.check();
    expect(seen.changes).toBe(3);
  });

  it("are not looked for any more once closed", async () => {
    const { clock, seen, path, changes } = watched("a");
    changes.close();
    writeFileSync(path("a"), "1");
    await clock.runUntilIdle();
    expect(seen.changes).toBe(0);
  });
});
