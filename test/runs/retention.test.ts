import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { RunState, RunStatisticsSchema } from "../../gen/retake/v1/run_pb.js";
import { expired } from "../../src/runs/bodies.ts";
import { encodeEvent } from "../../src/runs/event-encoder.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createMemoryStorage, type MemoryStorage } from "../../src/runs/memory/index.ts";
import { Retention, type RetentionLimit } from "../../src/runs/retention.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { creation, owner, workflow } from "./ports/storage-harness.ts";

const { SUCCEEDED, FAILED } = RunState;
const hourMs = 60 * 60 * 1000;

describe("Retention", () => {
  let clock: VirtualClock;
  let storage: MemoryStorage;

  beforeEach(() => {
    clock = createVirtualClock();
    storage = createMemoryStorage({ clock });
  });

  function retention(limits: readonly RetentionLimit[]): Retention {
    return new Retention({ ...storage, clock, log: silentLogger, limits: () => limits });
  }

  /** A run that was accepted so long ago, and ended now or then. */
  async function ended(id: string, ageMs: number, more: Parameters<typeof creation>[1] = {}, endAgeMs = ageMs) {
    const nowMs = clock.now();
    const end = encodeEvent(expired(create(RunStatisticsSchema)), 1, nowMs - endAgeMs);
    storage.payloads.put(id, Buffer.from(id));
    await storage.journal.append([
      creation(id, {
        state: SUCCEEDED,
        createTimeMs: nowMs - ageMs,
        ...(more.parentRunId === undefined ? { retireAtMs: nowMs + 1_000 * hourMs } : {}),
        records: [end],
        ...more,
      }),
    ]);
  }

  async function left(): Promise<string[]> {
    return (await storage.journal.listRuns({}, { limit: 1_000 })).map(({ runId }) => runId);
  }

  it("deletes runs whose time is over, with their children and payloads", async () => {
    await ended("over", 5, { retireAtMs: clock.now() });
    await ended("child", 4, { parentRunId: "over" });
    await ended("grandchild", 3, { parentRunId: "child" });
    await ended("stays", 2);

    expect(await retention([]).sweep()).toBe(3);
    expect(await left()).toEqual(["stays"]);
  });

  it("keeps as many runs of a state as the server allows, the newest ones", async () => {
    for (let index = 0; index < 130; index++) await ended(`r${index}`, 1_000 - index);
    await ended("child", 1, { parentRunId: "r0" });
    await ended("failed", 2_000, { state: FAILED });
    await storage.journal.append([creation("open", { createTimeMs: clock.now() - 5_000 })]);

    expect(await retention([{ state: SUCCEEDED, most: 3 }]).sweep()).toBe(128);
    expect(await left()).toEqual(["r129", "r128", "r127", "failed", "open"]);
  });

  it("keeps as many of a workflow as that allows, and counts what is left for the server", async () => {
    for (let index = 0; index < 4; index++) await ended(`a${index}`, 100 - index);
    for (let index = 0; index < 4; index++) await ended(`b${index}`, 50 - index, { workflow: "w/2" });
    const both = retention([
      { state: SUCCEEDED, workflow, most: 2 },
      { state: SUCCEEDED, most: 5 },
    ]);

    expect(await both.sweep()).toBe(3);
    expect(await left()).toEqual(["b3", "b2", "b1", "b0", "a3"]);
    expect(await both.sweep()).toBe(0);
  });

  it("deletes all of a state where none is allowed", async () => {
    await ended("a", 2, { state: FAILED });
    await ended("b", 1);

    expect(await retention([{ state: FAILED, most: 0 }]).sweep()).toBe(1);
    expect(await left()).toEqual(["b"]);
  });

  it("goes by the limits of the moment", async () => {
    const limits: RetentionLimit[] = [];
    const sweeper = retention(limits);
    await ended("a", 2);
    await ended("b", 1);

    expect(await sweeper.sweep()).toBe(0);
    limits.push({ state: SUCCEEDED, workflow, most: 1 });
    expect(await sweeper.sweep()).toBe(1);
    expect(await left()).toEqual(["b"]);
  });

  it("keeps runs whose key has not been over for a day, and takes the next ones", async () => {
    await ended("long", 30 * hourMs, { key: "1" }, 23 * hourMs);
    await ended("old", 29 * hourMs, { key: "2" }, 25 * hourMs);
    await ended("young", 5 * hourMs, { key: "3" });
    await ended("keyless", 4 * hourMs);
    await ended("newest", 1);

    expect(await retention([{ state: SUCCEEDED, most: 1 }]).sweep()).toBe(3);
    expect(await left()).toEqual(["young", "long"]);
    expect(await storage.journal.findRunByKey(owner, workflow, "1")).toMatchObject({ runId: "long" });
  });
});
