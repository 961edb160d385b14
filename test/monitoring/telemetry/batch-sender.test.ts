import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { describe, expect, it } from "vitest";
import { BatchSender } from "../../../src/monitoring/telemetry/batch-sender.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { recordingLogger } from "../../server/listening-server.ts";

function setUp() {
  const clock = createVirtualClock();
  const log = recordingLogger();
  const batches: number[][] = [];
  const state = {
    away: false,
    shut: false,
    hangs: false,
    refuses: (_: readonly number[]): { code: number } | undefined => undefined,
  };
  const lost: string[] = [];
  const posts: number[] = [];
  const sender = new BatchSender<number>({
    what: "spans",
    clock,
    log,
    // One from 1,000,000 on is as many bytes.
    bytesOf: (item) => (item < 1_000_000 ? 100 : item),
    onLost: (reason, count) => lost.push(`${count} ${reason}`),
    exporter: {
      export(items: number[], done: (result: ExportResult) => void) {
        if (state.hangs) return;
        if (state.away) {
          done({ code: ExportResultCode.FAILED, error: new Error("ECONNREFUSED") });
          return;
        }
        posts.push(items.length);
        const refusal = state.refuses(items);
        if (refusal !== undefined) {
          done({ code: ExportResultCode.FAILED, error: Object.assign(new Error("no"), refusal) });
          return;
        }
        batches.push([...items]);
        done({ code: ExportResultCode.SUCCESS });
      },
      async shutdown() {
        state.shut = true;
        if (state.hangs) await new Promise(() => {});
      },
    },
  });
  const add = (count: number, from = 0): void => {
    for (let i = from; i < from + count; i++) sender.add(i);
  };
  return { clock, log, batches, state, sender, add, lost, posts };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("BatchSender", () => {
  it("sends a full batch at once, and what is left after two seconds", async () => {
    const { clock, batches, add } = setUp();
    add(520);
    await clock.advance(0);
    expect(batches.map(({ length }) => length)).toEqual([512]);
    await clock.advance(2_000);
    expect(batches.map(({ length }) => length)).toEqual([512, 8]);
    expect(batches.flat()).toEqual(upTo(520));
  });

  it("loses nothing when the receiver is away for a minute, and says so twice", async () => {
    const { clock, log, batches, state, add } = setUp();
    state.away = true;
    for (let second = 0; second < 60; second++) {
      add(100, second * 100);
      await clock.advance(1_000);
    }
    state.away = false;
    await clock.advance(20_000);
    expect(batches.flat()).toEqual(upTo(6_000));
    expect(log.entries.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "spans cannot be exported; they are kept and sent again"],
      ["info", "spans can be exported again"],
    ]);
  });

  it("drops what is too much, and says so once", async () => {
    const { clock, log, batches, state, sender, add } = setUp();
    state.away = true;
    add(65_600);
    await clock.advance(1_000);
    expect(sender.dropped).toBe(64);
    expect(log.entries.filter(({ message }) => message.startsWith("spans are lost"))).toHaveLength(1);
    state.away = false;
    await clock.advance(60_000);
    expect(batches.flat()).toHaveLength(65_536);
  });

  it.each([
    ["HTTP 400", { code: 400 }],
    ["HTTP 413", { code: 413 }],
    ["INVALID_ARGUMENT", { code: 3 }],
    ["RESOURCE_EXHAUSTED for its size", { code: 8, message: "Received message larger than max (5 vs. 4)" }],
  ])("loses only the item that is refused: %s", async (_, refusal) => {
    const { clock, log, batches, state, add, lost, posts } = setUp();
    state.refuses = (items) => (items.includes(300) || items.includes(301) ? refusal : undefined);
    add(700);
    await clock.advance(2_000);
    expect(batches.flat()).toEqual(upTo(700).filter((item) => item !== 300 && item !== 301));
    expect(lost).toEqual(["1 refused", "1 refused"]);
    expect(posts.length).toBeLessThan(40);
    expect(log.entries.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "some spans are lost: the receiver refuses them"],
    ]);
  });

  it.each([
    ["HTTP 503", { code: 503 }],
    ["HTTP 401", { code: 401 }],
    ["RESOURCE_EXHAUSTED for what it has to do", { code: 8, message: "slow down" }],
  ])("keeps what a receiver refuses that may take it another time: %s", async (_, refusal) => {
    const { clock, batches, state, add, lost } = setUp();
    state.refuses = () => refusal;
    add(600);
    await clock.advance(60_000);
    state.refuses = () => undefined;
    await clock.advance(20_000);
    expect(batches.flat()).toEqual(upTo(600));
    expect(lost).toEqual([]);
  });

  it("does not storm a receiver that refuses everything", async () => {
    const { clock, state, add, posts } = setUp();
    state.refuses = () => ({ code: 400 });
    add(512);
    await clock.advance(60_000);
    expect(posts.length).toBeLessThan(30);
  });

  it("sends no more bytes at once than a receiver takes, but one item whatever it is", async () => {
    const { clock, batches, sender } = setUp();
    for (const item of [1_500_000, 1_500_001, 3_000_000, 1]) sender.add(item);
    await clock.advance(10_000);
    expect(batches).toEqual([[1_500_000], [1_500_001], [3_000_000], [1]]);
  });

  it("sends what is left when it is closed, all of it", async () => {
    const { clock, batches, state, sender, add } = setUp();
    add(700);
    const closed = sender.close();
    await clock.advance(0);
    await closed;
    expect(batches.flat()).toEqual(upTo(700));
    expect(state.shut).toBe(true);
  });

  it("ends although what is under way never does", async () => {
    const { clock, log, state, sender, add } = setUp();
    state.hangs = true;
    add(10);
    await clock.advance(3_000);
    let closed = false;
    void sender.close().then(() => {
      closed = true;
    });
    await clock.advance(5_000);
    expect(closed).toBe(true);
    expect(log.entries.at(-1)?.fields).toMatchObject({ lost: 10 });
  });

  it("does not wait at the end for a receiver that is away, and says what is lost", async () => {
    const { clock, log, state, sender, add } = setUp();
    state.away = true;
    add(10);
    await clock.advance(3_000);
    const closed = sender.close();
    await clock.advance(0);
    await closed;
    expect(log.entries.at(-1)).toMatchObject({
      message: "spans could not be exported before the end",
      fields: { lost: 10 },
    });
  });
});
