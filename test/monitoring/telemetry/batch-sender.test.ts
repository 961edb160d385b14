import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { describe, expect, it } from "vitest";
import { BatchSender } from "../../../src/monitoring/telemetry/batch-sender.ts";
import type { WrittenRecords } from "../../../src/otlp/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { asRecord, insideOf } from "../../otlp/as-record.ts";
import { recordingLogger } from "../../server/listening-server.ts";

/** One from 1,000,000 on is as many bytes. */
function sizeOf(item: number): number {
  return item < 1_000_000 ? 100 : item;
}

function recordOf(item: number): Buffer {
  const bytes = Buffer.alloc(sizeOf(item));
  bytes.writeUInt32LE(item);
  return bytes;
}

function joined(records: readonly Uint8Array[]): WrittenRecords {
  let end = 0;
  const ends = records.map(({ length }) => {
    end += length;
    return end;
  });
  return { bytes: new Uint8Array(Buffer.concat(records)), ends: Uint32Array.from(ends) };
}

function itemsOf(batch: readonly WrittenRecords[]): number[] {
  return batch.flatMap(({ bytes, ends }) => {
    const { buffer, byteOffset, length } = bytes;
    const view = Buffer.from(buffer, byteOffset, length);
    let start = 0;
    return Array.from(ends, (end) => {
      const record = insideOf(view.subarray(start, end));
      const item = Buffer.from(record).readUInt32LE();
      if (record.length !== sizeOf(item)) throw new Error(`${item} has been cut`);
      start = end;
      return item;
    });
  });
}

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
  const sender = new BatchSender({
    what: "spans",
    clock,
    log,
    onLost: (reason, count) => lost.push(`${count} ${reason}`),
    exporter: {
      export(batch: readonly WrittenRecords[], done: (result: ExportResult) => void) {
        if (state.hangs) return;
        const items = itemsOf(batch);
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
        batches.push(items);
        done({ code: ExportResultCode.SUCCESS });
      },
      async shutdown() {
        state.shut = true;
        if (state.hangs) await new Promise(() => {});
      },
    },
  });
  const add = (count: number, from = 0): void => {
    for (let i = from; i < from + count; i++) sender.write((writer) => writer.raw(recordOf(i)));
  };
  /** Those that are written already, as they come from another thread. */
  const addWritten = (items: readonly number[]): void =>
    sender.add(joined(items.map((item) => asRecord((writer) => writer.raw(recordOf(item))))));
  return { clock, log, batches, state, sender, add, addWritten, lost, posts };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("BatchSender", () => {
  it("sends a full batch at once, and what is left after two seconds", async () => {
    const { clock, batches, add } = setUp();
    add(2_060);
    await clock.advance(0);
    expect(batches.map(({ length }) => length)).toEqual([2_048]);
    await clock.advance(2_000);
    expect(batches.map(({ length }) => length)).toEqual([2_048, 12]);
    expect(batches.flat()).toEqual(upTo(2_060));
  });

  it("keeps the order of what is written here and of what is written already", async () => {
    const { clock, batches, sender, add, addWritten } = setUp();
    add(10);
    addWritten(upTo(3_000).slice(10));
    add(2_000, 3_000);
    addWritten([]);
    await clock.advance(4_000);
    expect(batches.flat()).toEqual(upTo(5_000));
    expect([sender.added, sender.settled]).toEqual([5_000, 5_000]);
  });

  it("does not send a record of which writing has failed", async () => {
    const { clock, batches, sender, add } = setUp();
    add(1);
    const fails = () =>
      sender.write((writer) => {
        writer.raw(recordOf(7));
        throw new Error("no text");
      });
    expect(fails).toThrow("no text");
    add(1, 1);
    await clock.advance(2_000);
    expect(batches).toEqual([[0, 1]]);
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
    const { clock, log, batches, state, sender, add, addWritten, lost } = setUp();
    state.away = true;
    add(65_500);
    addWritten(upTo(65_590).slice(65_500));
    add(10, 65_590);
    await clock.advance(1_000);
    expect(sender.dropped).toBe(64);
    expect(lost).toEqual(["54 full", ...Array(10).fill("1 full")]);
    expect(log.entries.filter(({ message }) => message.startsWith("spans are lost"))).toHaveLength(1);
    state.away = false;
    await clock.advance(60_000);
    expect(batches.flat()).toEqual(upTo(65_536));
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
    const { clock, batches, addWritten } = setUp();
    addWritten([1_500_000, 1_500_001]);
    addWritten([3_000_000, 1]);
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
