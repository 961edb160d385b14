import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import type { WatchRunResponse } from "../../gen/retake/v1/run_service_pb.js";
import { step } from "../../src/index.ts";
import { PlainResponseSchema, type StreamingResponse, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, type Harness, rejection, startServer, stopServer } from "./harness.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startRun({ runs, clock }: Harness, method: string): Promise<string> {
  const { run } = await runs.startRun({ workflow: `${WorkflowsService.typeName}/${method}` });
  await clock.advance(0);
  return run?.runId ?? "";
}

/** Reads a stream in the background. */
function collect<T>(stream: AsyncIterable<T>) {
  const seen: T[] = [];
  const done = (async () => {
    for await (const item of stream) seen.push(item);
    return seen;
  })();
  done.catch(() => undefined);
  return { seen, done };
}

const sequences = (seen: readonly WatchRunResponse[]) =>
  seen.flatMap(({ update }) => (update.case === "event" ? [Number(update.value.sequence)] : []));
const progresses = (seen: readonly WatchRunResponse[]) =>
  seen.flatMap(({ update }) => (update.case === "progress" ? [update.value] : []));

const unknownId = "018f0000-0000-7000-8000-000000000000";

describe("WatchRun", () => {
  it("replays from any event on, then goes on live, and ends with the run", async () => {
    const gate = deferred();
    const harness = await start({
      plain: async (_, context) => {
        await step(context, "one", PlainResponseSchema, () => ({}));
        await gate.promise;
        await step(context, "two", PlainResponseSchema, () => ({}));
        return { text: "result" };
      },
    });
    const runId = await startRun(harness, "Plain");
    const whole = collect(harness.runs.watchRun({ runId }));
    const late = collect(harness.runs.watchRun({ runId, afterSequence: 2n }));
    await harness.clock.advance(10);
    expect(sequences(whole.seen)).toEqual([1, 2, 3]);
    expect(sequences(late.seen)).toEqual([3]);
    gate.resolve();
    await harness.clock.advance(10);
    expect(sequences(await whole.done)).toEqual([1, 2, 3, 4, 5]);
    expect(sequences(await late.done)).toEqual([3, 4, 5]);
  });

  it("carries the result in the last event, and the input where the view is full", async () => {
    const harness = await start({ plain: () => ({ text: "result" }) });
    const runId = await startRun(harness, "Plain");
    const basic = await collect(harness.runs.watchRun({ runId })).done;
    const last = basic.at(-1)?.update;
    expect(last?.case === "event" && last.value.event).toMatchObject({
      case: "succeeded",
      value: { result: { value: { typeUrl: "type.googleapis.com/retake.test.v1.PlainResponse" } } },
    });
    const full = await collect(harness.runs.watchRun({ runId, view: 2 })).done;
    const first = full[0]?.update;
    expect(
      first?.case === "event" && first.value.event.case === "accepted" && first.value.event.value.input?.value,
    ).toBeDefined();
  });

  it("tells progress at once and unnumbered; the journal samples it", async () => {
    const tell = deferred();
    const harness = await start({
      plain: async (_, context) => {
        await tell.promise;
        for (let n = 1; n <= 50; n++) {
          context.progress({ fraction: n / 50, stage: "sampling" });
          await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, 100));
        }
        return {};
      },
    });
    const runId = await startRun(harness, "Plain");
    const { seen, done } = collect(harness.runs.watchRun({ runId }));
    tell.resolve();
    await harness.clock.advance(250);
    expect(progresses(seen).map(({ progress }) => progress?.fraction)).toEqual([0.02, 0.04, 0.06]);
    expect(progresses(seen)[0]).toMatchObject({ attempt: 1 });
    await harness.clock.advance(10_000);
    await done;
    expect(progresses(seen)).toHaveLength(50);
    const sampled = seen.filter(
      ({ update }) => update.case === "event" && update.value.event.case === "progressSampled",
    );
    expect(sampled.length).toBeGreaterThan(0);
    expect(sampled.length).toBeLessThanOrEqual(2);
  });

  it("gives who joins the newest progress at once, and repeats it every 15 s while nothing happens", async () => {
    const harness = await start({
      plain: (_, context) => {
        context.progress({ fraction: 0.25 });
        context.progress({ fraction: 0.5 });
        return new Promise(() => {});
      },
    });
    const runId = await startRun(harness, "Plain");
    const { seen } = collect(harness.runs.watchRun({ runId, afterSequence: 2n }));
    await harness.clock.advance(10);
    expect(progresses(seen).at(-1)?.progress?.fraction).toBe(0.5);
    const before = progresses(seen).length;
    await harness.clock.advance(45_000);
    expect(progresses(seen)).toHaveLength(before + 3);
    expect(progresses(seen).at(-1)?.progress?.fraction).toBe(0.5);
  });

  it("shows nothing of an attempt any more that was told to stop", async () => {
    const harness = await start({
      plain: (_, context) => {
        context.progress({ fraction: 0.5 });
        return new Promise(() => {});
      },
    });
    const runId = await startRun(harness, "Plain");
    const early = collect(harness.runs.watchRun({ runId }));
    await harness.clock.advance(10);
    expect(progresses(early.seen).at(-1)?.progress?.fraction).toBe(0.5);
    void harness.runs.cancelRun({ runId, reason: "enough" }).catch(() => undefined);
    await harness.clock.advance(10);
    const before = progresses(early.seen).length;
    const late = collect(harness.runs.watchRun({ runId }));
    await harness.clock.advance(16_000);
    for (const shown of [progresses(early.seen).slice(before), progresses(late.seen)]) {
      expect(shown.map(({ attempt, progress }) => [attempt, progress])).toEqual([[0, undefined]]);
    }
  });

  it("coalesces progress for a slow reader", async () => {
    const harness = await start({
      plain: async (_, context) => {
        for (let n = 1; n <= 1000; n++) {
          context.progress({ step: n, steps: 1000 });
          if (n % 100 === 0) await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, 1));
        }
        return {};
      },
    });
    const { run } = await harness.runs.startRun({ workflow: `${WorkflowsService.typeName}/Plain` });
    const iterator = harness.runs.watchRun({ runId: run?.runId ?? "" })[Symbol.asyncIterator]();
    await iterator.next();
    await harness.clock.advance(100);
    let steps = 0;
    let events = 1;
    for (;;) {
      const { done, value } = await iterator.next();
      if (done) break;
      if (value.update.case === "progress") steps += 1;
      else events += 1;
    }
    expect(steps).toBeLessThanOrEqual(1);
    expect(events).toBeGreaterThanOrEqual(3);
  });

  it("reads the journal once for any number of watchers", async () => {
    const gate = deferred();
    const harness = await start({
      plain: async (_, context) => {
        await gate.promise;
        for (const name of ["a", "b", "c"]) await step(context, name, PlainResponseSchema, () => ({}));
        return {};
      },
    });
    const runId = await startRun(harness, "Plain");
    const watchers = Array.from({ length: 100 }, () => collect(harness.runs.watchRun({ runId })));
    await harness.clock.advance(10);
    let reads = 0;
    const { journal } = harness.storage;
    const read = journal.read.bind(journal);
    journal.read = (...args) => {
      reads += 1;
      return read(...args);
    };
    gate.resolve();
    await harness.clock.advance(10);
    for (const { done } of watchers) expect(sequences(await done)).toEqual([1, 2, 3, 4, 5, 6]);
    // Events come in up to four commits; each is read once, and a hint may find nothing new.
    expect(reads).toBeLessThanOrEqual(10);
  });

  it("refuses an unknown run, a malformed id, and a number that the run has not reached", async () => {
    const harness = await start();
    const runId = await startRun(harness, "Plain");
    const watch = (request: Parameters<typeof harness.runs.watchRun>[0]) =>
      collect(harness.runs.watchRun(request)).done;
    await rejection(watch({ runId: unknownId }), Code.NotFound);
    await rejection(watch({ runId: unknownId, afterSequence: 7n }), Code.NotFound);
    await rejection(watch({ runId: "nonsense" }), Code.InvalidArgument);
    await rejection(watch({ runId, afterSequence: -1n }), Code.InvalidArgument);
    await rejection(watch({ runId, afterSequence: 4n }), Code.OutOfRange);
    await rejection(watch({ runId, afterSequence: 2n ** 60n }), Code.OutOfRange);
    expect(await watch({ runId, afterSequence: 3n })).toEqual([]);
  });

  it("is answered UNAVAILABLE by a drain, and goes on where it stood on the next server", async () => {
    const before = await start({ plain: () => new Promise(() => {}) });
    const runId = await startRun(before, "Plain");
    const watch = collect(before.runs.watchRun({ runId }));
    await before.clock.advance(10);
    await stopServer(before);
    await rejection(watch.done, Code.Unavailable);
    const after = await start({ plain: () => ({}) }, { storage: before.storage, clock: before.clock });
    await after.clock.advance(10);
    const rest = await collect(after.runs.watchRun({ runId, afterSequence: BigInt(sequences(watch.seen).at(-1) ?? 0) }))
      .done;
    expect([...sequences(watch.seen), ...sequences(rest)]).toEqual([1, 2, 3, 4, 5]);
  });

  it("leaves nothing behind when watchers leave", async () => {
    const harness = await start({ plain: () => new Promise(() => {}) });
    const runId = await startRun(harness, "Plain");
    const timers = harness.clock.pendingTimers;
    for (let n = 0; n < 20; n++) {
      const leave = new AbortController();
      const watch = collect(harness.runs.watchRun({ runId }, { signal: leave.signal }));
      await harness.clock.advance(1);
      leave.abort();
      await rejection(watch.done, Code.Canceled);
    }
    await harness.clock.advance(0);
    expect(harness.clock.pendingTimers).toBe(timers);
  });

  it("shows every watcher the journal, from wherever and however often it comes back", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(6), { minLength: 1, maxLength: 10 }),
        async (work, leaves) => {
          const harness = await startServer({
            plain: async (_, context) => {
              for (const [index, pause] of work.entries()) {
                await step(context, `s${index}`, PlainResponseSchema, () => ({}));
                context.progress({ step: index });
                if (pause > 0) await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, pause));
              }
              return {};
            },
          });
          try {
            const { run } = await harness.runs.startRun({ workflow: `${WorkflowsService.typeName}/Plain` });
            const runId = run?.runId ?? "";
            const seen: number[] = [];
            for (const leaveAfter of [...leaves, 1000]) {
              let count = 0;
              const watch = (async () => {
                for await (const { update } of harness.runs.watchRun({
                  runId,
                  afterSequence: BigInt(seen.at(-1) ?? 0),
                })) {
                  if (update.case === "event") seen.push(Number(update.value.sequence));
                  if (++count > leaveAfter) break;
                }
              })();
              await harness.clock.advance(leaveAfter === 1000 ? 1000 : 2);
              await Promise.race([watch, harness.clock.advance(60_000).then(() => watch)]);
            }
            const last = (await harness.runs.getRun({ runId })).run;
            expect(last?.state).toBe(RunState.SUCCEEDED);
            expect(seen).toEqual(Array.from({ length: Number(last?.lastSequence) }, (_, index) => index + 1));
          } finally {
            await stopServer(harness);
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("a direct streaming call", () => {
  const cases = (seen: readonly StreamingResponse[]) => seen.map(({ update }) => [update.case, update.value]);

  it("streams updates, then the result, with the run's id in early headers", async () => {
    const gate = deferred();
    const harness = await start({
      async *streaming() {
        yield { update: { case: "progress", value: { fraction: 0.5 } } };
        yield { update: { case: "line", value: "first" } };
        yield { update: { case: "line", value: "second" } };
        yield { update: { case: "preview", value: "blurred" } };
        await gate.promise;
        yield { update: { case: "result", value: "film" } };
      },
    });
    let runId = "";
    const stream = collect(
      harness.workflows.streaming({}, { onHeader: (header) => (runId = header.get("retake-run-id") ?? "") }),
    );
    await harness.clock.advance(10);
    expect(runId).toMatch(/-7/);
    gate.resolve();
    await harness.clock.advance(10);
    const seen = cases(await stream.done);
    expect(seen.at(-1)).toEqual(["result", "film"]);
    expect(seen.filter(([name]) => name === "line")).toEqual([
      ["line", "first"],
      ["line", "second"],
    ]);
    expect(seen.filter(([name]) => name === "preview")).toEqual([["preview", "blurred"]]);
    expect(
      seen.some(([name, value]) => name === "progress" && typeof value === "object" && value?.fraction === 0.5),
    ).toBe(true);
  });

  it("gives a second caller with the same key the kept updates and the same result", async () => {
    const gate = deferred();
    const harness = await start({
      async *streaming() {
        yield { update: { case: "line", value: "kept" } };
        yield { update: { case: "preview", value: "old" } };
        yield { update: { case: "preview", value: "newest" } };
        await gate.promise;
        yield { update: { case: "result", value: "film" } };
      },
    });
    const headers = { "idempotency-key": "k" };
    const first = collect(harness.workflows.streaming({}, { headers }));
    await harness.clock.advance(10);
    const second = collect(harness.workflows.streaming({}, { headers }));
    await harness.clock.advance(10);
    gate.resolve();
    await harness.clock.advance(10);
    await first.done;
    expect(cases(await second.done).filter(([name]) => name !== "progress")).toEqual([
      ["line", "kept"],
      ["preview", "newest"],
      ["result", "film"],
    ]);
  });

  for (const [what, own, message] of [
    ["yields no result", async function* () {}, /ended without a result/],
    [
      "yields something after its result",
      async function* () {
        yield { update: { case: "result", value: "a" } };
        yield { update: { case: "result", value: "b" } };
      },
      /after its result/,
    ],
    ["is no generator", () => Promise.resolve({}), /no async iterable/],
    [
      "yields no message",
      async function* () {
        yield 7;
      },
      /answered a number/,
    ],
  ] as const) {
    it(`fails INTERNAL when its handler ${what}`, async () => {
      const harness = await start({ streaming: own as never });
      const stream = collect(harness.workflows.streaming({}));
      await harness.clock.advance(10_000);
      expect((await rejection(stream.done, Code.Internal)).rawMessage).toMatch(message);
    });
  }

  it("stops the handler's generator when the run is cancelled", async () => {
    let cleaned = false;
    const harness = await start({
      async *streaming(_, context) {
        try {
          for (;;) {
            yield { update: { case: "progress", value: {} } };
            await new Promise<void>((resolve) => harness.clock.setTimeout(resolve, 1000));
            context.signal.throwIfAborted();
          }
        } finally {
          cleaned = true;
        }
      },
    });
    const runId = await startRun(harness, "Streaming");
    await harness.clock.advance(5000);
    await harness.runs.cancelRun({ runId });
    await harness.clock.advance(1000);
    expect(cleaned).toBe(true);
    expect((await harness.runs.getRun({ runId })).run?.state).toBe(RunState.CANCELLED);
  });
});
