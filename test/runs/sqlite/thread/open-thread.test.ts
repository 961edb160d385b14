import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../../src/clock.ts";
import { type JournalOpenError, JournalUnavailableError } from "../../../../src/runs/ports/journal.ts";
import { openSqliteStorage, openSqliteThread, type SqliteStorage } from "../../../../src/runs/sqlite/index.ts";
import { creation, records } from "../../ports/storage-harness.ts";
import { saidAll, startProcess } from "../processes/index.ts";
import { temporaryDirectory } from "../temporary-directory.ts";

async function open(directory = temporaryDirectory()): Promise<SqliteStorage & { readonly directory: string }> {
  const storage = await openSqliteThread({ directory, clock: systemClock });
  onTestFinished(() => storage.close());
  return { journal: storage.journal, payloads: storage.payloads, close: storage.close, abandoned: false, directory };
}

describe("openSqliteThread", () => {
  it("keeps what it has acknowledged, and gives the directory free when it is closed", async () => {
    const { journal, payloads, close, directory } = await open();
    const small = records("small")[0] ?? new Uint8Array();
    const large = new Uint8Array(300_000).fill(7);
    const put = payloads.put("run", small);
    const putLarge = payloads.put("run", large);
    await putLarge.stored;
    await journal.append([creation("run", { key: "the key" })]);
    await close();
    expect(existsSync(join(directory, "retake.db-wal"))).toBe(false);

    const again = await open(directory);
    expect(
      await again.journal.findRunByKey({ tenant: "default", subject: "ada" }, "test.v1.Service/Work", "the key"),
    ).toMatchObject({ runId: "run" });
    expect(await again.payloads.get("run", put.sha256)).toEqual(small);
    expect(await again.payloads.get("run", putLarge.sha256)).toEqual(large);
    await again.close();
    await expect(again.journal.read("a", 0, 1)).rejects.toThrow(JournalUnavailableError);
    await openSqliteStorage({ directory, clock: systemClock }).close();
  });

  it("says who holds the directory, and can be tried again", async () => {
    const { directory, close } = await open();
    const refusal = await openSqliteThread({ directory, clock: systemClock }).catch((error: JournalOpenError) => error);
    expect(refusal).toMatchObject({ name: "JournalOpenError", reason: "locked" });
    expect((refusal as Error).message).toContain(`process ${process.pid}`);
    await close();
    await open(directory);
  });

  it("keeps many orders in order, across threads", async () => {
    const { journal } = await open();
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 5_000 }, async (_, index) => {
        await journal.append([{ stream: "long", expectedSequence: index, records: records(String(index)) }]);
        order.push(index);
      }),
    );
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(await journal.read("long", 4_990, 100)).toHaveLength(10);
  });

  it("lets the process end when nothing is waited for, and not before", async () => {
    const directory = temporaryDirectory();
    const child = startProcess("leave-open", [directory]);
    expect(await saidAll(child.stdout)).toBe("stored\n");
    const { journal } = await open(directory);
    expect(await journal.read("kept", 0, 10)).toHaveLength(1);
  });

  it("does not copy a log that has lost something into the database, however the process ends", async () => {
    const directory = temporaryDirectory();
    const child = startProcess("lose-log", [directory, "thread"]);
    const [text, errors] = await Promise.all([saidAll(child.stdout), saidAll(child.stderr)]);
    expect(errors).toBe("");
    const said = JSON.parse(text);
    expect(said).toMatchObject({
      one: "stored",
      two: "JournalUnavailableError",
      impatient: "JournalUnavailableError",
      late: "JournalUnavailableError",
      locked: true,
      untouched: true,
    });
    expect(said.message).toContain("restart the server");
    expect(statSync(join(directory, "retake.db")).size).toBe(said.size);
    // The next process goes on from what is durable.
    const { journal } = await open(directory);
    expect(await journal.listStreams("", "", 10)).toEqual(["one"]);
  });
});
