import { describe, expect, it } from "vitest";
import type { Workflow } from "../../src/contract/index.ts";
import { type Journal, JournalUnavailableError, RetryBudgets, StoredRetryBudgets } from "../../src/runs/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/index.ts";
import { recordingLogger } from "../server/listening-server.ts";

const settings = { backend: "gpu:1", maxTokens: 4, tokenRatio: 0.5, tokenIntervalMs: 60_000 };
const workflow = { service: { typeName: "a.B" } } as unknown as Workflow;

/** The budget of a server that has just started. */
async function start(
  more: { clock?: VirtualClock; journal?: Journal; settings?: Partial<typeof settings> | "none" } = {},
) {
  const { clock = createVirtualClock({ startMs: Date.UTC(2026, 0, 1) }) } = more;
  const journal = more.journal ?? createMemoryStorage({ clock }).journal;
  const log = recordingLogger();
  const retryBudgets = new RetryBudgets({ scheduler: { wake: () => undefined }, clock });
  const own = more.settings === "none" ? [] : [["a.B", { ...settings, ...more.settings }] as const];
  retryBudgets.configure(new Map(own));
  const stored = new StoredRetryBudgets({ retryBudgets, journal, clock, log });
  await stored.open();
  const settle = (verdict: "success" | "failure", times = 1): void => {
    for (let time = 0; time < times; time++) retryBudgets.of(workflow)?.settle(`run ${time}`, verdict);
  };
  return {
    clock,
    journal,
    retryBudgets,
    settle,
    log,
    left: () => retryBudgets.of(workflow)?.tokens.left,
    streams: () => journal.listStreams("retry-budgets/", "", 10),
    stop: async () => {
      retryBudgets.close();
      await stored.close();
    },
  };
}

describe("what is left of a retry budget", () => {
  it("survives a stop, and time goes on for it meanwhile", async () => {
    const first = await start();
    first.settle("failure", 3);
    await first.stop();
    await first.clock.advance(30_000);
    const second = await start(first);
    expect(second.left()).toBe(1.5);
    expect(second.retryBudgets.of(workflow)?.admit("retry")).toBe(false);
    await second.stop();
    expect(await second.streams()).toEqual(["retry-budgets/2"]);
    await second.clock.advance(3_600_000);
    expect((await start(second)).left()).toBe(4);
  });

  it("survives a crash a second after retries have come to wait, and after they wait no more", async () => {
    const first = await start();
    first.settle("failure", 2);
    await first.clock.advance(500);
    first.settle("failure", 2);
    await first.clock.advance(500);
    expect((await start(first)).left()).toBeCloseTo(1_000 / 60_000);
    first.settle("success", 7);
    await first.clock.advance(1_000);
    expect((await start(first)).left()).toBeGreaterThan(3.5);
    expect(await first.streams()).toHaveLength(1);
    expect(first.clock.pendingTimers).toBe(0);
  });

  it("is not written of while no retry has to wait", async () => {
    const { clock, settle, streams, stop } = await start();
    settle("success", 100);
    settle("failure");
    expect(clock.pendingTimers).toBe(0);
    settle("success", 2);
    await stop();
    expect(await streams()).toEqual([]);
  });

  it("is not more than it may be, and nothing where its back-end has none any more", async () => {
    const first = await start();
    first.settle("failure", 1);
    await first.stop();
    expect((await start({ ...first, settings: { maxTokens: 2 } })).left()).toBe(2);
    expect((await start({ ...first, settings: "none" })).left()).toBeUndefined();
  });

  it("is what it was where the wall clock has been set back meanwhile", async () => {
    const first = await start();
    first.settle("failure", 3);
    await first.stop();
    first.clock.jump(-86_400_000);
    expect((await start(first)).left()).toBe(1);
  });

  it("is not stored while the journal fails, which says so, and is with what comes next", async () => {
    const { journal, clock } = await start();
    let isFailing = true;
    const append = journal.append.bind(journal);
    journal.append = (...args) =>
      isFailing ? Promise.reject(new JournalUnavailableError("the disk is full")) : append(...args);
    const first = await start({ journal, clock });
    first.settle("failure", 3);
    await first.clock.advance(1_000);
    expect(first.log.entries.map(({ message }) => message)).toEqual([
      "what is left of retry budgets could not be stored: a restart would not know of it",
    ]);
    isFailing = false;
    first.settle("failure");
    await first.clock.advance(1_000);
    expect((await start(first)).left()).toBeLessThan(1);
  });
});
