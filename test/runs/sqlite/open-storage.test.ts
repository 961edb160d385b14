import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import { openSqliteStorage } from "../../../src/runs/sqlite/open-storage.ts";
import { describeJournal } from "../ports/journal-contract.ts";
import { describePayloads } from "../ports/payloads-contract.ts";
import type { OpenStorage } from "../ports/storage-harness.ts";

const directories: string[] = [];
const open: OpenStorage = (clock, sync) => {
  const directory = mkdtempSync(join(tmpdir(), "retake-test-"));
  directories.push(directory);
  return openSqliteStorage({ directory, clock, sync });
};

afterEach(() => {
  for (const directory of directories.splice(0)) {
    rmSync(directory, { recursive: true, force: true });
  }
});

describeJournal("the storage in SQLite", open);
describePayloads("the storage in SQLite", open);
