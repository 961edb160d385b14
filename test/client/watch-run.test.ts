import { getEventListeners } from "node:events";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureSchema, type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import {
  RunService,
  RunView,
  type WatchRunRequest,
  type WatchRunResponse,
} from "../../gen/retake/v1/run_service_pb.js";
import { type Reconnection, type RunUpdate, watchRun } from "../../src/client/watch-run.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { event, eventMessage, fakeTransport, journal, progressMessage, runId, untilGone } from "./fake-runs.ts";

type Stream = (request: WatchRunRequest, signal: AbortSignal) => AsyncIterable<WatchRunResponse>;

/** A server whose first streams are as told; the last one told serves all that come after it. */
function setUp(
  streams: readonly Stream[],
  reconnectForMs = 600_000,
  run: { state: RunState; lastSequence: bigint } = open,
) {
  const clock = createVirtualClock();
  const requests: WatchRunRequest[] = [];
  const transport = fakeTransport(
    {
      getRun: () => ({ run: { runId, ...run } }),
      watchRun: (request, { signal }) => {
        requests.push(request);
        const stream = streams[requests.length - 1] ?? streams.at(-1);
        return stream === undefined ? nothing() : stream(request, signal);
      },
    },
    clock,
  );
  const closing = new AbortController();
  const reconnections: Reconnection[] = [];
  const told: string[] = [];
  const settings = {
    runs: createClient(RunService, transport),
    clock,
    random: createSeededRandom(7),
    reconnectForMs,
    closed: closing.signal,
  };
  const watch = (options: { afterSequence?: bigint; signal?: AbortSignal } = {}) =>
    watchRun(settings, {
      runId,
      afterSequence: 0n,
      view: RunView.BASIC,
      onReconnect: (reconnection) => {
        reconnections.push(reconnection);
        told.push("lost");
      },
      onReconnected: () => told.push("back"),
      ...options,
    });
  return { clock, closing, requests, reconnections, told, watch };
}

const open = { state: RunState.RUNNING, lastSequence: 1n };

async function* nothing(): AsyncGenerator<never> {}

/** Serves a journal from where the request wants it, then fails. */
function breaking(events: readonly RunEvent[], upTo: number, error: ConnectError | undefined): Stream {
  return async function* (request) {
    for (const each of events) {
      if (each.sequence > request.afterSequence && each.sequence <= upTo) yield eventMessage(each);
    }
    if (error !== undefined) throw error;
  };
}

const whole = (events: readonly RunEvent[]): Stream => breaking(events, Number.POSITIVE_INFINITY, undefined);

function fails(error: ConnectError): Stream {
  // biome-ignore lint/correctness/useYield: a stream that fails before its first message
  return async function* () {
    throw error;
  };
}

const unavailable = new ConnectError("gone", Code.Unavailable);

/** Reads everything while time passes. */
async function readAll(clock: VirtualClock, updates: AsyncIterable<RunUpdate>): Promise<RunUpdate[]> {
  const read: RunUpdate[] = [];
  const reading = (async () => {
    for await (const update of updates) read.push(update);
  })();
  // Told below; here it must not count as unhandled.
  reading.catch(() => undefined);
  await clock.runUntilIdle();
  await reading;
  return read;
}

function sequences(updates: readonly RunUpdate[]): number[] {
  return updates.flatMap((update) => (update.kind === "event" ? [Number(update.event.sequence)] : []));
}

describe("watchRun", () => {
  it("yields every event once and in order, wherever and however streams break", async () => {
    const codes = [
      undefined,
      Code.Unavailable,
      Code.Canceled,
      Code.Aborted,
      Code.DeadlineExceeded,
      Code.Internal,
      Code.Unknown,
    ];
    const scripted = fc.record({
      length: fc.integer({ min: 1, max: 30 }),
      streams: fc.array(
        fc.record({
          // How many events it delivers before it breaks, 0 included.
          delivers: fc.integer({ min: 0, max: 8 }),
          // A server in error sends what is known already.
          repeats: fc.integer({ min: 0, max: 3 }),
          heartbeatAfter: fc.integer({ min: 0, max: 8 }),
          code: fc.constantFrom(...codes),
        }),
        // Doubtful errors are taken three times in a row.
        { maxLength: 3 },
      ),
      afterSequence: fc.integer({ min: 0, max: 30 }),
    });
    await fc.assert(
      fc.asyncProperty(scripted, async ({ length, streams, afterSequence }) => {
        const events = journal(length);
        const start = Math.min(afterSequence, length - 1);
        const broken = streams.map(({ delivers, repeats, heartbeatAfter, code }): Stream => {
          return async function* (request) {
            const known = Number(request.afterSequence);
            // The terminal event is left for the last stream: after it nobody comes back.
            const end = Math.min(known + delivers, length - 1);
            for (const each of events.slice(Math.max(0, known - repeats), end)) {
              if (Number(each.sequence) === known + heartbeatAfter) yield progressMessage(undefined, known);
              yield eventMessage(each);
            }
            if (code !== undefined) throw new ConnectError("broken", code);
          };
        });
        const { clock, watch, requests, reconnections } = setUp([...broken, whole(events)]);
        const updates = await readAll(clock, watch({ afterSequence: BigInt(start) }));
        expect(sequences(updates)).toEqual(Array.from({ length: length - start }, (_, index) => start + 1 + index));
        expect(updates.every(({ kind }) => kind === "event")).toBe(true);
        expect(requests).toHaveLength(streams.length + 1);
        expect(reconnections).toHaveLength(streams.length);
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("asks for what comes behind the last event that was yielded", async () => {
    const events = journal(5);
    const { clock, watch, requests } = setUp([breaking(events, 3, unavailable), whole(events)]);
    await readAll(clock, watch());
    expect(requests.map(({ afterSequence }) => afterSequence)).toEqual([0n, 3n]);
  });

  it("returns the terminal event, after having yielded it", async () => {
    const events = journal(2);
    const updates = setUp([whole(events)]).watch();
    await updates.next();
    expect(await updates.next()).toMatchObject({ done: false, value: { event: events[1] } });
    expect(await updates.next()).toEqual({ done: true, value: events[1] });
  });

  it("leaves out snapshots that say nothing new, across connections too", async () => {
    const { clock, watch } = setUp([
      async function* () {
        yield progressMessage(undefined);
        yield progressMessage(0.5, 1);
        yield progressMessage(0.5, 2);
        throw unavailable;
      },
      async function* () {
        yield progressMessage(0.5, 2);
        yield progressMessage(0.75, 2);
        yield* whole(journal(1))({ afterSequence: 0n } as WatchRunRequest, new AbortController().signal);
      },
    ]);
    const updates = await readAll(clock, watch());
    expect(
      updates.map((update) => (update.kind === "progress" ? update.progress.progress?.fraction : "event")),
    ).toEqual([0.5, 0.75, "event"]);
  });

  it("waits longer from try to try, at random within half of the time, and begins anew once it was heard", async () => {
    const silent = fails(unavailable);
    const events = journal(2);
    const { clock, watch, reconnections } = setUp([
      silent,
      silent,
      silent,
      breaking(events, 1, unavailable),
      whole(events),
    ]);
    await readAll(clock, watch());
    expect(reconnections.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 1]);
    for (const [index, longestMs] of [200, 400, 800, 200].entries()) {
      expect(reconnections[index]?.delayMs).toBeGreaterThanOrEqual(longestMs / 2);
      expect(reconnections[index]?.delayMs).toBeLessThanOrEqual(longestMs);
    }
  });

  it("tells when the connection is lost, and when the server is heard again", async () => {
    const silent = fails(unavailable);
    const events = journal(3);
    const { clock, watch, told } = setUp([
      breaking(events, 1, unavailable),
      silent,
      breaking(events, 2, unavailable),
      whole(events),
    ]);
    await readAll(clock, watch());
    expect(told).toEqual(["lost", "lost", "back", "lost", "back"]);
  });

  it("comes back when the server asks it to, and not before", async () => {
    const draining = new ConnectError("draining", Code.Unavailable, undefined, [
      { desc: RetryInfoSchema, value: { retryDelay: { seconds: 7n, nanos: 500_000_000 } } },
      { desc: ErrorInfoSchema, value: { reason: "DRAINING" } },
    ]);
    const { clock, watch, reconnections } = setUp([fails(draining), whole(journal(1))]);
    await readAll(clock, watch());
    expect(reconnections).toMatchObject([{ delayMs: 7_500 }]);
  });

  it.each([
    Code.NotFound,
    Code.OutOfRange,
    Code.InvalidArgument,
    Code.PermissionDenied,
    Code.Unauthenticated,
    Code.Unimplemented,
    Code.FailedPrecondition,
    Code.DataLoss,
  ])("gives up at once on code %i", async (code) => {
    const { clock, watch, requests } = setUp([fails(new ConnectError("final", code))]);
    await expect(readAll(clock, watch())).rejects.toMatchObject({ code, rawMessage: "final" });
    expect(requests).toHaveLength(1);
  });

  it.each([Code.Internal, Code.Unknown, Code.ResourceExhausted])(
    "gives up on code %i after three more tries without a new event",
    async (code) => {
      const events = journal(9);
      const once = breaking(events, 1, new ConnectError("odd", code));
      const { clock, watch, requests } = setUp([fails(new ConnectError("odd", code)), once, once]);
      await expect(readAll(clock, watch())).rejects.toMatchObject({ code });
      // One before the event, and after it the one that brought it and three more.
      expect(requests).toHaveLength(5);
    },
  );

  it("gives up when the server stays away for longer than it may, and says what to do", async () => {
    const { clock, watch } = setUp([fails(unavailable)], 60_000);
    const startMs = clock.monotonic();
    await expect(readAll(clock, watch())).rejects.toMatchObject({
      code: Code.Unavailable,
      rawMessage: expect.stringMatching(/nothing was heard of run 0193.* for \d\d s \(gone\).*attach to it again/),
    });
    expect(clock.monotonic() - startMs).toBeGreaterThan(45_000);
    expect(clock.monotonic() - startMs).toBeLessThanOrEqual(60_000);
  });

  it("counts a server's absence anew each time that it was heard", async () => {
    const silent = fails(unavailable);
    const events = journal(6);
    const spell = (upTo: number) => [breaking(events, upTo, unavailable), silent, silent, silent, silent];
    const { clock, watch } = setUp([...spell(1), ...spell(2), ...spell(3), ...spell(4), whole(events)], 6_500);
    const startMs = clock.monotonic();
    expect(sequences(await readAll(clock, watch()))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(clock.monotonic() - startMs).toBeGreaterThan(8_000);
  });

  it("leaves no listener on the signals that it was given", async () => {
    const events = journal(2);
    const { clock, watch, closing } = setUp([breaking(events, 1, unavailable), whole(events)]);
    const { signal } = new AbortController();
    await readAll(clock, watch({ signal }));
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(getEventListeners(closing.signal, "abort")).toEqual([]);
  });

  it("does not try again when it may not", async () => {
    const { clock, watch, requests } = setUp([fails(unavailable)], 0);
    await expect(readAll(clock, watch())).rejects.toMatchObject({ rawMessage: "gone" });
    expect(requests).toHaveLength(1);
  });

  it("does not try again after an error that tells how a run ended", async () => {
    const ended = new ConnectError("over", Code.Unavailable, undefined, [{ desc: FailureSchema, value: { code: 14 } }]);
    const { clock, watch, requests } = setUp([fails(ended)]);
    await expect(readAll(clock, watch())).rejects.toMatchObject({ rawMessage: "over" });
    expect(requests).toHaveLength(1);
  });

  it("does not count the time that its consumer takes", async () => {
    const events = journal(3);
    const { clock, watch } = setUp([breaking(events, 2, unavailable), whole(events)], 60_000);
    const updates = watch();
    await updates.next();
    await clock.advance(3_600_000);
    await updates.next();
    await clock.advance(3_600_000);
    const last = updates.next();
    await clock.advance(1_000);
    expect(await last).toMatchObject({ value: { event: { sequence: 3n } } });
  });

  it("takes a server for lost that says nothing for 45 s", async () => {
    const events = journal(2);
    let aborted = false;
    const { clock, watch, reconnections } = setUp([
      async function* (_, signal) {
        yield eventMessage(event(1));
        await untilGone(signal);
        aborted = true;
      },
      whole(events),
    ]);
    const updates = watch();
    await updates.next();
    const second = updates.next();
    await clock.advance(44_999);
    expect(reconnections).toEqual([]);
    await clock.advance(1_000);
    expect(await second).toMatchObject({ value: { event: { sequence: 2n } } });
    expect(aborted).toBe(true);
    expect(reconnections[0]?.error.rawMessage).toBe("nothing was heard of the server for 45 s");
  });

  it("refuses a journal with a gap", async () => {
    const { clock, watch } = setUp([whole([event(1), event(3)])]);
    await expect(readAll(clock, watch())).rejects.toMatchObject({
      code: Code.DataLoss,
      rawMessage: expect.stringContaining("from event 1 to 3"),
    });
  });

  it("ends where the server has nothing more to tell of a run that has ended", async () => {
    const { clock, watch, requests } = setUp([nothing], 600_000, { state: RunState.SUCCEEDED, lastSequence: 3n });
    expect(await readAll(clock, watch({ afterSequence: 3n }))).toEqual([]);
    expect(requests).toHaveLength(1);
  });

  it("goes on where a stream ends before all that is known of the run has come", async () => {
    const events = journal(3);
    const ended = { state: RunState.SUCCEEDED, lastSequence: 3n };
    const { clock, watch, requests } = setUp([breaking(events, 2, undefined), whole(events)], 600_000, ended);
    expect(sequences(await readAll(clock, watch()))).toEqual([1, 2, 3]);
    expect(requests).toHaveLength(2);
  });

  it("ends the stream when its consumer leaves", async () => {
    let left = false;
    const { clock, watch } = setUp([
      async function* (_, signal) {
        signal.addEventListener("abort", () => {
          left = true;
        });
        yield eventMessage(event(1));
        await untilGone(signal);
      },
    ]);
    for await (const _ of watch()) break;
    await clock.advance(0);
    expect(left).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    ["its signal is aborted", (abort: AbortController) => abort],
    ["its client is closed", (_: AbortController, closing: AbortController) => closing],
  ])("stops when %s: while it reads, and while it waits", async (_, which) => {
    const reading: Stream = async function* (_request, signal) {
      yield eventMessage(event(1));
      await untilGone(signal);
    };
    for (const stream of [reading, breaking(journal(2), 1, unavailable)]) {
      const { clock, watch, closing, requests } = setUp([stream]);
      const abort = new AbortController();
      const updates = watch({ signal: abort.signal });
      await updates.next();
      const next = updates.next();
      next.catch(() => undefined);
      await clock.advance(0);
      which(abort, closing).abort(new ConnectError("enough", Code.Canceled));
      await expect(next).rejects.toMatchObject({ code: Code.Canceled, rawMessage: "enough" });
      expect(requests).toHaveLength(1);
      expect(clock.pendingTimers).toBe(0);
    }
  });
});
