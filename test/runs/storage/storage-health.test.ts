import { describe, expect, it } from "vitest";
import type { JournalStatus } from "../../../src/runs/ports/journal.ts";
import { StorageHealth } from "../../../src/runs/storage/storage-health.ts";

function followed(): { health: StorageHealth; heard: JournalStatus[] } {
  const health = new StorageHealth();
  const heard: JournalStatus[] = [];
  health.onStatus((status) => heard.push(status));
  return { health, heard };
}

describe("StorageHealth", () => {
  it("holds when the last of its parts does", () => {
    const { health, heard } = followed();
    const first = new Error("one");
    const second = new Error("two");
    health.fail("a", first);
    health.fail("b", second);
    health.heal("a");
    health.heal("never in trouble");
    health.heal("b");

    expect(heard).toEqual([
      { kind: "failing", cause: first },
      { kind: "failing", cause: second },
      { kind: "available" },
    ]);
    expect(health.status).toEqual({ kind: "available" });
  });

  it("says the same thing once, however often it is tried again", () => {
    const { health, heard } = followed();
    health.fail("a", new Error("full"));
    health.fail("a", new Error("full"));
    health.fail("a", new Error("broken"));

    expect(heard.map((status) => status.kind === "failing" && status.cause.message)).toEqual(["full", "broken"]);
  });

  it("puts trouble that needs a restart before any other", () => {
    const { health } = followed();
    health.fail("a", new Error("full"));
    health.fail("b", new Error("damaged"), true);
    health.fail("a", new Error("broken"));

    expect(health.status).toEqual({ kind: "failing", cause: new Error("damaged"), needsRestart: true });
  });

  it("keeps the same listener apart when it is added twice", () => {
    const health = new StorageHealth();
    let calls = 0;
    const listener = (): void => void calls++;
    const stop = health.onStatus(listener);
    health.onStatus(listener);
    stop();
    health.fail("a", new Error("x"));

    expect(calls).toBe(1);
  });
});
