import { Code, type ConnectError } from "@connectrpc/connect";
import { beforeEach, describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import type { ProcessLoadReading } from "../../../src/process-load.ts";
import { Overload, type OverloadState } from "../../../src/runs/load/overload.ts";
import { silentLogger } from "../../../src/runs/logger.ts";
import { msFromDuration } from "../../../src/runs/time.ts";
import { createSeededRandom, createVirtualClock, type VirtualClock } from "../../../src/testing/index.ts";

const calm: ProcessLoadReading = { eventLoopDelayMs: 0, memoryShare: 0 };

describe("Overload", () => {
  let clock: VirtualClock;
  let reading: ProcessLoadReading;
  let flush: () => Promise<void>;
  let measuring: boolean;
  let logged: string[];
  let overload: Overload;

  beforeEach(() => {
    clock = createVirtualClock();
    reading = calm;
    flush = () => Promise.resolve();
    measuring = false;
    logged = [];
    overload = new Overload({
      thresholds: { eventLoopDelayMs: 500, memoryShare: 0.9, commitDelayMs: 2_000 },
      load: {
        start: () => {
          measuring = true;
        },
        read: () => reading,
        stop: () => {
          measuring = false;
        },
      },
      journal: { flush: () => flush() },
      clock,
      random: createSeededRandom(1),
      log: {
        ...silentLogger,
        warn: (fields: object, message?: string) => logged.push(`warn ${(fields as OverloadState).signal}: ${message}`),
        info: (_: object, message?: string) => logged.push(`info: ${message}`),
      },
    });
  });

  /** Offers ten runs of that priority in each half second, and answers how many were refused in the last one. */
  async function offer(periods: number, priority = 0): Promise<number> {
    let refused = 0;
    for (let period = 0; period < periods; period++) {
      refused = 0;
      for (let run = 0; run < 10; run++) {
        refused += overload.refusal(priority) === undefined ? 0 : 1;
      }
      await clock.advance(500);
    }
    return refused;
  }

  it.each<[string, () => void]>([
    ["event_loop", () => (reading = { ...calm, eventLoopDelayMs: 500 })],
    ["memory", () => (reading = { ...calm, memoryShare: 0.9 })],
    ["journal", () => (flush = () => new Promise(() => {}))],
  ])("refuses ever more new runs while a signal is in trouble: %s", async (signal, trouble) => {
    expect(await offer(3)).toBe(0);
    trouble();
    // The journal is asked once more before it is late, by four readings.
    const early = await offer(signal === "journal" ? 9 : 4);
    const late = await offer(12);

    expect(early).toBeGreaterThan(0);
    expect(early).toBeLessThan(10);
    expect(late).toBe(10);
    expect(overload.state).toMatchObject({ signal, share: 1 });
    expect(logged).toEqual([
      `warn ${signal}: the server is in trouble; it refuses new runs of low priority until that is over`,
    ]);
  });

  it("takes all again when the trouble is over, little by little", async () => {
    reading = { ...calm, eventLoopDelayMs: 5_000 };
    await offer(7);
    reading = { ...calm, eventLoopDelayMs: 401 };
    expect(await offer(5)).toBe(10);
    reading = calm;
    expect(await offer(5)).toBeLessThan(10);
    expect(await offer(20)).toBe(0);

    expect(logged.at(-1)).toBe("info: the trouble is over: the server takes all new runs again");
    expect(logged).toHaveLength(2);
  });

  it("never refuses the highest priority", async () => {
    reading = { ...calm, memoryShare: 1 };
    await offer(20);

    expect(await offer(3, 100)).toBe(0);
    expect(await offer(3, 99)).toBe(10);
  });

  it("says why, and when to call again, not to all the same", async () => {
    reading = { ...calm, eventLoopDelayMs: 812 };
    await offer(20);
    const refusals = Array.from({ length: 50 }, () => overload.refusal(0) as ConnectError);

    const [refusal] = refusals;
    expect(refusal?.code).toBe(Code.Unavailable);
    expect(refusal?.rawMessage).toBe(
      "the server has more to do than it can, and takes no new runs of this priority at the moment: its event loop was 812 ms late; call again later",
    );
    expect(refusal?.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: "OVERLOADED",
      metadata: { signal: "event_loop" },
    });
    const delays = refusals.map((error) => msFromDuration(error.findDetails(RetryInfoSchema)[0]?.retryDelay));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_500);
    expect(new Set(delays).size).toBeGreaterThan(25);
  });

  it("says what the trouble was for as long as it refuses runs after it", async () => {
    reading = { ...calm, eventLoopDelayMs: 812 };
    await offer(20);
    reading = { eventLoopDelayMs: 3, memoryShare: 0.4 };
    await offer(3);

    expect(overload.state.signal).toBe("memory");
    const refusals = Array.from({ length: 10 }, () => overload.refusal(0)).filter((refusal) => refusal !== undefined);
    expect(refusals[0]?.rawMessage).toContain("its event loop was 812 ms late");
  });

  it("tells whoever wants to know each change of what is refused", async () => {
    const states: OverloadState[] = [];
    const off = overload.onChange((state) => states.push(state));
    reading = { ...calm, eventLoopDelayMs: 1_000 };
    await offer(4);
    reading = calm;
    await offer(1);
    off();
    await offer(20);

    expect(states.map(({ share }) => share)).toEqual([0.2, 0.4, 0.6, 0.55]);
    expect(states[0]).toMatchObject({ signal: "event_loop", trouble: 2, reason: "its event loop was 1000 ms late" });
  });

  it("measures only while runs are offered, or refused", async () => {
    expect(measuring).toBe(false);
    await offer(1);
    expect(measuring).toBe(true);
    await clock.advance(500);
    expect(measuring).toBe(false);
    expect(clock.pendingTimers).toBe(0);

    reading = { ...calm, memoryShare: 0.95 };
    await offer(2);
    reading = calm;
    await clock.advance(500);
    expect(overload.state.share).toBeGreaterThan(0);
    expect(measuring).toBe(true);
    await clock.advance(5_000);
    expect(overload.state.share).toBe(0);
    expect(measuring).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it("looks no more once it is closed", async () => {
    await offer(1);
    overload.close();
    await offer(1);

    expect(clock.pendingTimers).toBe(0);
    expect(measuring).toBe(false);
  });
});
