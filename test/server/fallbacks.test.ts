import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { FailureSchema, FallbackTrySchema, type Run, type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService, RunView } from "../../gen/retake/v1/run_service_pb.js";
import type { WorkflowImpl } from "../../src/server/server.ts";
import { createTestServer, type TestServer, type TestServerOptions } from "../../src/testing/test-server.ts";
import { FallbacksService, FilmMood, FilmResponseSchema, SketchMood } from "../gen/retake/test/v1/fallbacks_pb.js";
import { deferred, kindsOf, rejection, stopServer } from "./harness.ts";

interface Studio extends TestServer {
  readonly films: Client<typeof FallbacksService>;
  readonly runs: Client<typeof RunService>;
}

type Handlers = WorkflowImpl<typeof FallbacksService>;

const unavailable = () => new ConnectError("no engine", Code.Unavailable);
const never = () => new Promise<never>(() => {});
const film = `${FallbacksService.typeName}/Film`;
const sketch = `${FallbacksService.typeName}/Sketch`;
const still = `${FallbacksService.typeName}/Still`;

// biome-ignore lint/correctness/useYield: it ends before it could.
async function* failing(error: ConnectError): AsyncGenerator<never> {
  throw error;
}

/** Says nothing, until it is told to stop, where it listens to that, and then for so long. */
async function* silent(
  signal?: AbortSignal,
  stopsAfter: () => Promise<unknown> = async () => {},
): AsyncGenerator<never> {
  if (signal === undefined) yield never();
  await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
  await stopsAfter();
  throw signal?.reason;
}

/** Films fail; what stands in for them works. */
const handlers: Handlers = {
  film: () => failing(unavailable()),
  async *sketch({ title }) {
    yield { update: { case: "film", value: { title, by: "sketch", pencil: "2B" } } };
  },
  still: ({ title }) => ({ film: { title, by: "still" } }),
  echo: ({ text }) => ({ text }),
  poster: () => {
    throw unavailable();
  },
};

const convert: NonNullable<Parameters<typeof listen>[2]> = ({ server }) =>
  server.convert("poster-of-sketch", {
    workflow: FallbacksService.method.poster,
    fallback: FallbacksService.method.sketch,
    request: ({ headline }, mapped) => ({ ...mapped, title: headline }),
    response: ({ update }) => (update.case === "film" ? { svg: `<svg>${update.value.title}</svg>` } : undefined),
  });

async function listen(
  own: Handlers = {},
  options: TestServerOptions = {},
  prepare: (test: TestServer) => unknown = convert,
): Promise<Studio> {
  const test = createTestServer(options);
  test.server.implement(FallbacksService, { ...handlers, ...own });
  prepare(test);
  await Promise.all([test.server.listen(), test.clock.advance(0)]);
  const { transport } = test.server;
  return { ...test, films: createClient(FallbacksService, transport), runs: createClient(RunService, transport) };
}

async function start(...args: Parameters<typeof listen>): Promise<Studio> {
  const studio = await listen(...args);
  onTestFinished(() => stopServer(studio));
  return studio;
}

/** The next server on what a closed one has left behind. */
async function restart(before: Studio, own: Handlers = {}): Promise<Studio> {
  await stopServer(before);
  return start(own, { storage: before.storage, clock: before.clock });
}

async function startFilm(
  { runs, clock }: Studio,
  request: object = { title: "Sea" },
  afterMs = 5_000,
): Promise<string> {
  const { run } = await runs.startRun({ workflow: film, input: { case: "json", value: JSON.stringify(request) } });
  await clock.advance(afterMs);
  return run?.runId ?? "";
}

async function runOf({ runs }: Studio, runId: string, view = RunView.FULL): Promise<Run> {
  const { run } = await runs.getRun({ runId, view });
  if (run === undefined) throw new Error("there is no run");
  return run;
}

async function childOf({ runs }: Studio, parentRunId: string): Promise<Run> {
  const { runs: children } = await runs.listRuns({ parentRunId });
  const [child] = children;
  if (child === undefined) throw new Error("there is no child");
  return child;
}

async function eventsOf({ runs }: Studio, runId: string): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const { update } of runs.watchRun({ runId })) if (update.case === "event") events.push(update.value);
  return events;
}

/** Holds up what is read of runs that are not in memory, but for one, until the test lets go. */
function holdReads({ storage: { journal } }: Studio, butFor: string): () => void {
  const gate = deferred();
  const read = journal.read.bind(journal);
  journal.read = async (stream, ...range) => {
    if (stream.startsWith("run/") && stream !== `run/${butFor}`) await gate.promise;
    return read(stream, ...range);
  };
  return gate.resolve;
}

async function stateOf(studio: Studio, runId: string): Promise<string> {
  return RunState[(await runOf(studio, runId)).state];
}

async function filmOf(studio: Studio, runId: string): Promise<unknown> {
  const { result } = await runOf(studio, runId);
  return fromBinary(FilmResponseSchema, result?.value?.value ?? new Uint8Array()).update.value;
}

/** Those of a run whose two attempts have failed. */
const twoAttempts = [
  ...["accepted", "attemptStarted", "attemptFailed", "retryScheduled", "woken"],
  ...["attemptStarted", "attemptFailed"],
];

describe("a fallback", () => {
  it("answers in the place of a run whose attempts have all failed", async () => {
    const studio = await start();
    const runId = await startFilm(studio);
    const run = await runOf(studio, runId);
    expect(RunState[run.state]).toBe("SUCCEEDED");
    expect(await filmOf(studio, runId)).toMatchObject({ title: "Sea", by: "sketch" });
    expect(kindsOf(await eventsOf(studio, runId))).toEqual([...twoAttempts, "fallbackStarted", "succeeded"]);
    expect(run.statistics).toMatchObject({ attempts: 2, retries: 1, fallbackUsed: sketch });
    const child = await childOf(studio, runId);
    expect(run.fallbacks).toMatchObject([
      {
        index: 0,
        workflow: sketch,
        runId: child.runId,
        reason: "UNAVAILABLE: no engine",
        outcome: { case: "answered" },
      },
    ]);
    expect(child).toMatchObject({ workflow: sketch, state: RunState.SUCCEEDED, parentRunId: runId });
  });

  it("that starts now is not looked for in the journal first", async () => {
    const studio = await start();
    const { journal } = studio.storage;
    const read = journal.read.bind(journal);
    const missed: string[] = [];
    journal.read = async (stream, ...range) => {
      const found = await read(stream, ...range);
      if (found.length === 0) missed.push(stream);
      return found;
    };
    const runId = await startFilm(studio);
    expect(await stateOf(studio, runId)).toBe("SUCCEEDED");
    const child = await childOf(studio, runId);
    expect(missed).not.toContain(`run/${child.runId}`);
  });

  it("ends in one commit with the run that it stands in for, where that is in memory", async () => {
    const studio = await start();
    const { storage, clock, films, runs } = studio;
    const order = storage.journal.order.bind(storage.journal);
    /** What was ordered in each turn of the event loop: that is what shares a commit. */
    const turns: string[][] = [];
    let isOpen = false;
    storage.journal.order = (appends, ...rest) => {
      if (!isOpen) {
        isOpen = true;
        turns.push([]);
        clock.setImmediate(() => {
          isOpen = false;
        });
      }
      turns.at(-1)?.push(...appends.filter(({ records }) => records.length > 0).map(({ stream }) => stream));
      order(appends, ...rest);
    };
    expect(await films.poster({ headline: "Storm" })).toMatchObject({ svg: "<svg>Storm</svg>" });
    const [child] = (await runs.listRuns({ workflow: sketch })).runs;
    expect(turns.at(-1)).toEqual([`run/${child?.runId}`, `run/${child?.parentRunId}`]);
  });

  it("is asked what the names of fields make of the request, by the same owner, in the time that is left", async () => {
    const asked: unknown[] = [];
    const studio = await start({
      async *sketch(request, { run, requestHeader }) {
        asked.push(request, requestHeader.get("x-studio"));
        expect(run.owner).toEqual({ tenant: "default", subject: "in-process" });
        yield { update: { case: "film", value: {} } };
      },
    });
    const answer = studio.runs.startRun(
      {
        workflow: film,
        input: {
          case: "json",
          value: `{"title": "Sea", "mood": "${FilmMood[FilmMood.CALM]}", "seconds": 7, "tags": ["a"]}`.replace(
            "CALM",
            "FILM_MOOD_CALM",
          ),
        },
        priority: 3,
        minQuality: 2,
      },
      { headers: { "x-studio": "four" } },
    );
    await studio.clock.advance(5_000);
    const { run } = await answer;
    const child = await childOf(studio, run?.runId ?? "");
    expect(asked).toMatchObject([{ title: "Sea", mood: SketchMood.CALM, seconds: 7n }, "four"]);
    expect(child).toMatchObject({ priority: 3, minQuality: 2, owner: run?.owner, deadline: run?.deadline });
  });

  it("is turned to at once by a failure that no retry would mend", async () => {
    const studio = await start({
      film: () => failing(new ConnectError("not built in", Code.Unimplemented)),
    });
    const runId = await startFilm(studio, {}, 0);
    await studio.clock.advance(0);
    expect(kindsOf(await eventsOf(studio, runId))).toEqual([
      ...["accepted", "attemptStarted", "attemptFailed", "fallbackStarted", "succeeded"],
    ]);
  });

  it("is turned to where another server refuses the credentials of the handler", async () => {
    const studio = await start({ film: () => failing(new ConnectError("no", Code.Unauthenticated)) });
    expect(await stateOf(studio, await startFilm(studio))).toBe("SUCCEEDED");
  });

  it("is not turned to for what is the caller's doing", async () => {
    for (const code of [Code.InvalidArgument, Code.OutOfRange, Code.PermissionDenied]) {
      const studio = await start({
        film: () => failing(new ConnectError("no", code)),
      });
      const runId = await startFilm(studio);
      expect(await stateOf(studio, runId)).toBe("FAILED");
      expect((await runOf(studio, runId)).fallbacks).toEqual([]);
    }
  });

  it("holds no permit of its parent, which is in memory no more than a parked run", async () => {
    const gate = deferred();
    const studio = await start(
      {
        async *sketch({ title }) {
          await gate.promise;
          yield { update: { case: "film", value: { title } } };
        },
      },
      { config: { grpc: { disabled: true }, web: { disabled: true }, concurrencyLimit: 1 } },
    );
    const runId = await startFilm(studio);
    const run = await runOf(studio, runId);
    expect(RunState[run.state]).toBe("DELEGATED");
    expect(run.wait).toMatchObject({ gate: "fallback", reason: expect.stringContaining(sketch) });
    // The attempts of the parent have ended, so the only permit is the child's.
    expect(RunState[(await childOf(studio, runId)).state]).toBe("RUNNING");
    gate.resolve();
    await studio.clock.advance(10);
    const ended = await runOf(studio, runId);
    expect(ended.state).toBe(RunState.SUCCEEDED);
    expect(ended.statistics?.executionTime).toMatchObject({ seconds: 0n });
  });

  it("that fails makes room for the next one, and its failure is told", async () => {
    const studio = await start({
      sketch: () => failing(new ConnectError("no pencil", Code.NotFound)),
    });
    const runId = await startFilm(studio);
    const run = await runOf(studio, runId);
    expect(await filmOf(studio, runId)).toMatchObject({ title: "Sea", by: "still" });
    expect(kindsOf(await eventsOf(studio, runId))).toEqual([
      ...twoAttempts,
      ...["fallbackStarted", "fallbackEnded", "fallbackStarted", "succeeded"],
    ]);
    expect(run.fallbacks).toMatchObject([
      { workflow: sketch, outcome: { case: "failed", value: { reason: "NOT_FOUND", message: "no pencil" } } },
      { workflow: still, outcome: { case: "answered" } },
    ]);
  });

  it("that cannot be asked is passed over, with the reason", async () => {
    const studio = await start({
      sketch: () => failing(new ConnectError("no pencil", Code.NotFound)),
    });
    const runId = await startFilm(studio, { title: "much too long" });
    const run = await runOf(studio, runId);
    expect(RunState[run.state]).toBe("FAILED");
    expect(kindsOf(await eventsOf(studio, runId))).toEqual([
      ...twoAttempts,
      ...["fallbackStarted", "fallbackEnded", "fallbackSkipped", "failed"],
    ]);
    const skipped = run.fallbacks[1]?.outcome;
    expect(skipped).toMatchObject({ case: "skipped", value: expect.stringMatching(/^it cannot be asked: .*title/) });
  });

  it("leaves the run its own failure when none has helped, with theirs among its details", async () => {
    const studio = await start({
      sketch: () => failing(new ConnectError("no pencil", Code.NotFound)),
      still: () => {
        throw new ConnectError("no lens", Code.Internal);
      },
    });
    const call = (async () => {
      for await (const _ of studio.films.film({ title: "Sea" }));
    })();
    const rejected = rejection(call, Code.Unavailable);
    await studio.clock.advance(10_000);
    const error = await rejected;
    expect(error.rawMessage).toMatch(
      /^no engine \(its fallback .*Sketch did not succeed either: NOT_FOUND: no pencil; .*no lens\)$/,
    );
    const [failure] = error.findDetails(FailureSchema);
    const tries = failure?.details.flatMap((detail) => anyUnpack(detail, FallbackTrySchema) ?? []);
    expect(tries?.map(({ workflow, outcome }) => [workflow, outcome.case])).toEqual([
      [sketch, "failed"],
      [still, "failed"],
    ]);
    const [run] = (await studio.runs.listRuns({ workflow: film })).runs;
    const attempts = (await eventsOf(studio, run?.runId ?? "")).flatMap(({ event }) =>
      event.case === "attemptFailed" ? [event.value.failure] : [],
    );
    expect(attempts.map((own) => own?.message)).toEqual(["no engine", "no engine"]);
  });

  it("has its own policy, and fallbacks of its own", async () => {
    const studio = await start(
      {
        sketch: (_, { run }) =>
          failing(run.attempt < 3 ? unavailable() : new ConnectError("broken pencil", Code.Internal)),
      },
      {
        config: {
          workflows: {
            [film]: { fallbacks: [sketch] },
            [sketch]: { fallbacks: [still], retry: { maxAttempts: 3, initialBackoff: { seconds: 1n } } },
          },
        },
      },
    );
    const runId = await startFilm(studio, { title: "Sea" }, 30_000);
    expect(await filmOf(studio, runId)).toMatchObject({ by: "still" });
    const child = await childOf(studio, runId);
    expect(child.statistics).toMatchObject({ attempts: 3, fallbackUsed: still });
    expect(await childOf(studio, child.runId)).toMatchObject({ workflow: still, childName: "fallback" });
  });

  it("may be converted to and from by a function of the server's", async () => {
    const studio = await start();
    expect(await studio.films.poster({ headline: "Storm" })).toMatchObject({ svg: "<svg>Storm</svg>" });
  });

  it("is passed over where its converter throws", async () => {
    const studio = await start({}, {}, ({ server }) =>
      server.convert("poster-of-sketch", {
        workflow: FallbacksService.method.poster,
        fallback: FallbacksService.method.sketch,
        request: () => {
          throw new Error("no words");
        },
        response: () => undefined,
      }),
    );
    const error = await rejection(studio.films.poster({}), Code.Unavailable);
    expect(error.rawMessage).toContain("was passed over: it cannot be asked: no words");
  });

  it("whose converter makes no result has failed", async () => {
    const studio = await start({}, {}, ({ server }) =>
      server.convert("poster-of-sketch", {
        workflow: FallbacksService.method.poster,
        fallback: FallbacksService.method.sketch,
        request: () => ({}),
        response: () => undefined,
      }),
    );
    const error = await rejection(studio.films.poster({}), Code.Unavailable);
    expect(error.rawMessage).toContain("FALLBACK_RESULT");
  });
});

describe("a run with a fallback", () => {
  const slow = (gate: Promise<void>): Handlers => ({
    async *sketch({ title }) {
      await gate;
      yield { update: { case: "film", value: { title, by: "sketch" } } };
    },
  });

  it("that is cancelled cancels it, and ends when it has stopped", async () => {
    const studio = await start({
      sketch: (_, { signal }) =>
        silent(signal, () => new Promise<void>((resolve) => studio.clock.setTimeout(resolve, 2_000))),
    });
    const runId = await startFilm(studio);
    await studio.runs.cancelRun({ runId, reason: "enough" });
    await studio.clock.advance(1_000);
    expect(await stateOf(studio, runId)).toBe("CANCELLING");
    await studio.clock.advance(1_500);
    expect(await stateOf(studio, runId)).toBe("CANCELLED");
    const events = await eventsOf(studio, runId);
    expect(kindsOf(events)).toEqual([
      ...twoAttempts,
      ...["fallbackStarted", "cancelRequested", "fallbackEnded", "cancelled"],
    ]);
    expect(events.at(-1)?.event.value).toMatchObject({ reason: "enough", acknowledged: true });
    expect(await childOf(studio, runId)).toMatchObject({ state: RunState.CANCELLED });
  });

  it("that is cancelled while it is started anew after a crash cancels it all the same", async () => {
    const before = await start({
      film: () => failing(new ConnectError("not built in", Code.Unimplemented)),
      sketch: () => silent(),
    });
    const runId = await startFilm(before);
    const child = await childOf(before, runId);
    await stopServer(before);
    await before.storage.journal.deleteStreams([`run/${child.runId}`]);
    const letGo = holdReads(before, runId);
    const studio = await start(
      { sketch: (_, { signal }) => silent(signal) },
      { storage: before.storage, clock: before.clock },
    );
    await studio.clock.advance(10);
    expect(await stateOf(studio, runId)).toBe("DELEGATED");
    expect((await studio.runs.listRuns({ parentRunId: runId })).runs).toEqual([]);
    void studio.runs.cancelRun({ runId });
    await studio.clock.advance(10);
    letGo();
    await studio.clock.advance(10);
    expect(await childOf(studio, runId)).toMatchObject({ state: RunState.CANCELLED });
    expect(await stateOf(studio, runId)).toBe("CANCELLED");
  });

  it("asks the next one when its input can be read again", async () => {
    const before = await start({ sketch: () => silent() });
    const runId = await startFilm(before);
    await stopServer(before);
    const { payloads } = before.storage;
    const get = payloads.get.bind(payloads);
    let failures = 0;
    payloads.get = async (owner, sha256) => {
      if (owner === runId && failures++ === 0) throw new Error("EIO: i/o error, read");
      return get(owner, sha256);
    };
    const broken: Handlers = { sketch: () => failing(new ConnectError("no pencil", Code.NotFound)) };
    const after = await start(broken, { storage: before.storage, clock: before.clock });
    await after.clock.advance(999);
    // The end of the first is journaled with what follows from it alone.
    expect([failures, await stateOf(after, runId)]).toEqual([1, "DELEGATED"]);
    await after.clock.advance(10);
    expect(await filmOf(after, runId)).toMatchObject({ by: "still" });
    expect(kindsOf(await eventsOf(after, runId))).toEqual([
      ...twoAttempts,
      ...["fallbackStarted", "fallbackEnded", "fallbackStarted", "succeeded"],
    ]);
  });

  describe("that a converter has asked", () => {
    const byHand: NonNullable<Parameters<typeof listen>[2]> = (test) => {
      convert(test);
      test.server.convert("by-hand", {
        workflow: FallbacksService.method.film,
        fallback: FallbacksService.method.sketch,
        response: ({ update }, mapped) =>
          update.case === "film" ? { update: { case: "film" as const, value: { by: "hand" } } } : mapped,
      });
    };
    /** Its fallback was asked through the converter; the policy of the next server names none. */
    async function delegated(): Promise<{ before: Studio; runId: string }> {
      const config = { workflows: { [film]: { fallbackConverters: { [sketch]: "by-hand" } } } };
      const before = await start(slow(never()), { config }, byHand);
      const runId = await startFilm(before);
      await stopServer(before);
      return { before, runId };
    }

    it("is answered through the same one, whatever the policy says by then", async () => {
      const { before, runId } = await delegated();
      const after = await start({}, { storage: before.storage, clock: before.clock }, byHand);
      await after.clock.advance(10);
      expect(await filmOf(after, runId)).toMatchObject({ by: "hand" });
    });

    it("takes no answer of it without that, and turns to the next one", async () => {
      const { before, runId } = await delegated();
      const after = await start({}, { storage: before.storage, clock: before.clock });
      await after.clock.advance(10);
      expect(await filmOf(after, runId)).toMatchObject({ by: "still" });
      const { fallbacks } = await runOf(after, runId);
      expect(fallbacks[0]?.outcome).toMatchObject({
        case: "failed",
        value: {
          reason: "FALLBACK_RESULT",
          message: expect.stringContaining('its result cannot be used: no converter "by-hand" is registered'),
        },
      });
    });
  });

  it("that is cancelled waits for it no longer than cancel_grace", async () => {
    const studio = await start({
      sketch: () => silent(),
    });
    const runId = await startFilm(studio);
    await studio.runs.cancelRun({ runId });
    await studio.clock.advance(4_900);
    expect(await stateOf(studio, runId)).toBe("CANCELLING");
    await studio.clock.advance(200);
    expect(await stateOf(studio, runId)).toBe("CANCELLED");
  });

  it("expires with it at its own deadline", async () => {
    const studio = await start({
      sketch: () => silent(),
    });
    const runId = await startFilm(studio);
    await studio.clock.advance(600_000);
    expect(await stateOf(studio, runId)).toBe("EXPIRED");
    await studio.clock.advance(10_000);
    expect(RunState[(await childOf(studio, runId)).state]).toMatch(/EXPIRED|CANCELLED/);
  });

  it("goes to the next one when somebody cancels it alone", async () => {
    const studio = await start({
      sketch: (_, { signal }) => silent(signal),
    });
    const runId = await startFilm(studio);
    await studio.runs.cancelRun({ runId: (await childOf(studio, runId)).runId });
    await studio.clock.advance(10);
    expect(await filmOf(studio, runId)).toMatchObject({ by: "still" });
  });

  it("goes on waiting for it after a restart, while both are open", async () => {
    const before = await start(slow(never()));
    const runId = await startFilm(before);
    const child = await childOf(before, runId);
    const after = await restart(before);
    await after.clock.advance(10);
    expect(await filmOf(after, runId)).toMatchObject({ by: "sketch" });
    expect((await childOf(after, runId)).runId).toBe(child.runId);
    expect(await runOf(after, child.runId)).toMatchObject({ statistics: { attempts: 2, interruptions: 1 } });
    expect(kindsOf(await eventsOf(after, runId))).toEqual([...twoAttempts, "fallbackStarted", "succeeded"]);
  });

  it("takes its answer after a restart, when it ended while the server was down or about to stop", async () => {
    const gate = deferred();
    const before = await start(slow(gate.promise));
    const runId = await startFilm(before);
    // The child's end becomes durable, and its parent is given no turn any more.
    const closed = before.server.close({ drainTimeoutMs: 1_000 });
    gate.resolve();
    await before.clock.advance(1_000);
    await closed;
    const after = await start({}, { storage: before.storage, clock: before.clock });
    await after.clock.advance(10);
    expect(await filmOf(after, runId)).toMatchObject({ by: "sketch" });
  });

  it("is cancelled by a restart where it was being cancelled, and it with the run", async () => {
    const before = await start({
      sketch: () => silent(),
    });
    const runId = await startFilm(before);
    await before.runs.cancelRun({ runId });
    const after = await restart(before);
    await after.clock.advance(10);
    expect(await stateOf(after, runId)).toBe("CANCELLED");
    expect((await childOf(after, runId)).state).toBe(RunState.CANCELLED);
  });

  it("expires at the start when its deadline passed while the server was down, and it is stopped", async () => {
    const before = await start(slow(never()));
    const runId = await startFilm(before);
    await stopServer(before);
    before.clock.jump(700_000);
    const after = await start(slow(never()), { storage: before.storage, clock: before.clock });
    await after.clock.advance(10);
    expect(await stateOf(after, runId)).toBe("EXPIRED");
    expect(RunState[(await childOf(after, runId)).state]).toMatch(/EXPIRED|CANCELLED/);
  });

  it("starts it anew where a crash came between the two", async () => {
    const before = await start(slow(never()));
    const runId = await startFilm(before);
    const child = await childOf(before, runId);
    await stopServer(before);
    await before.storage.journal.deleteStreams([`run/${child.runId}`]);
    const after = await start({}, { storage: before.storage, clock: before.clock });
    await after.clock.advance(10);
    expect(await filmOf(after, runId)).toMatchObject({ by: "sketch" });
    expect((await childOf(after, runId)).runId).toBe(child.runId);
  });

  it("turns to it after too many interruptions in a row", async () => {
    let studio = await start({
      film: () => silent(),
    });
    const runId = await startFilm(studio);
    for (let restarts = 0; restarts < 2; restarts++) {
      studio = await restart(studio, {
        film: () => silent(),
      });
      await studio.clock.advance(10);
    }
    expect(await filmOf(studio, runId)).toMatchObject({ by: "sketch" });
    expect((await runOf(studio, runId)).fallbacks).toMatchObject([{ reason: expect.stringMatching(/^CRASH_LOOP: /) }]);
  });
});

describe("a direct call", () => {
  /** What a call of Film sends, with its trailers. */
  async function watchFilm(studio: Studio, options: { key?: string; headers?: Record<string, string> } = {}) {
    const seen: string[] = [];
    let trailers = new Headers();
    const messages = studio.films.film(
      { title: "Sea" },
      {
        onTrailer: (given) => {
          trailers = given;
        },
        headers: { ...(options.key === undefined ? {} : { "idempotency-key": options.key }), ...options.headers },
      },
    );
    for await (const { update } of messages) {
      seen.push(
        update.case === "progress" ? `progress ${update.value.stage}` : `${update.case} ${textOf(update.value)}`,
      );
    }
    return { seen, trailers };
  }
  const textOf = (value: unknown) => (typeof value === "object" ? (value as { by: string }).by : value);

  const telling = (gate: Promise<void>): Handlers => ({
    async *sketch() {
      yield { update: { case: "progress", value: { stage: "sharpening" } } };
      yield { update: { case: "line", value: "one" } };
      yield { update: { case: "line", value: "two" } };
      await gate;
      yield { update: { case: "preview", value: "grey" } };
      yield { update: { case: "line", value: "three" } };
      yield { update: { case: "film", value: { by: "sketch" } } };
    },
  });

  it("sees the fallback's progress, and each journaled update once, as its own", async () => {
    const gate = deferred();
    const studio = await start(telling(gate.promise));
    const call = watchFilm(studio);
    await studio.clock.advance(5_000);
    gate.resolve();
    await studio.clock.advance(5_000);
    const { seen } = await call;
    expect(seen.filter((text) => text.startsWith("line"))).toEqual(["line one", "line two", "line three"]);
    expect(seen).toContain("progress sharpening");
    expect(seen.at(-1)).toBe("film sketch");
  });

  it("that comes later sees the same", async () => {
    const gate = deferred();
    const studio = await start(telling(gate.promise));
    const first = watchFilm(studio, { key: "k" });
    await studio.clock.advance(5_000);
    const second = watchFilm(studio, { key: "k" });
    await studio.clock.advance(10);
    gate.resolve();
    await studio.clock.advance(5_000);
    await Promise.all([first, second]);
    const third = await watchFilm(studio, { key: "k" });
    for (const { seen } of [await second, third]) {
      expect(seen.filter((text) => !/^(progress|preview)/.test(text))).toEqual([
        ...["line one", "line two", "line three"],
        "film sketch",
      ]);
    }
  });

  it("is told who answered, and why nobody before", async () => {
    const studio = await start({
      sketch: () => failing(new ConnectError("no pencil", Code.NotFound)),
    });
    const call = watchFilm(studio);
    await studio.clock.advance(5_000);
    const { trailers } = await call;
    expect(trailers.get("retake-fallback")).toBe(still);
    expect(trailers.get("retake-fallback-reason")).toBe(`${film}=UNAVAILABLE, ${sketch}=NOT_FOUND`);

    const other = await start();
    const unary: Headers[] = [];
    const onMetadata = (given: Headers) => void unary.push(given);
    await other.films.poster({}, { onHeader: onMetadata, onTrailer: onMetadata });
    expect(unary.map((given) => given.get("retake-fallback"))).toEqual([sketch, sketch]);
    await other.films.still({}, { onHeader: onMetadata });
    expect(unary.at(-1)?.has("retake-fallback")).toBe(false);
  });

  it("that ends takes the fallback with it", async () => {
    const studio = await start({
      sketch: (_, { signal }) => silent(signal),
    });
    const hangUp = new AbortController();
    const call = (async () => {
      for await (const _ of studio.films.film({}, { signal: hangUp.signal }));
    })();
    const rejected = rejection(call, Code.Canceled);
    await studio.clock.advance(5_000);
    hangUp.abort();
    await rejected;
    await studio.clock.advance(10);
    const { runs } = await studio.runs.listRuns({});
    expect(runs.map(({ state }) => RunState[state])).toEqual(["CANCELLED", "CANCELLED"]);
  });

  it("is answered by a server that stops, and its run is over at the next start", async () => {
    const studio = await start({
      sketch: () => silent(),
    });
    const rejected = rejection(watchFilm(studio), Code.Unavailable);
    await studio.clock.advance(5_000);
    const after = await restart(studio);
    await rejected;
    await after.clock.advance(10);
    const { runs } = await after.runs.listRuns({});
    expect(runs.map(({ state }) => RunState[state])).toEqual(["CANCELLED", "CANCELLED"]);
  });
});

describe("a watcher", () => {
  it("of a delegated run sees the fallback's progress, also one that resumes or asks for the run", async () => {
    const studio = await start({
      async *film() {
        yield { update: { case: "progress", value: { stage: "loading" } } };
        throw new ConnectError("gone", Code.NotFound);
      },
      async *sketch() {
        yield { update: { case: "progress", value: { stage: "sharpening" } } };
        await never();
      },
    });
    const runId = await startFilm(studio);
    const child = await childOf(studio, runId);
    const { lastSequence, progress } = await runOf(studio, runId);
    expect(progress).toMatchObject({ stage: "sharpening" });
    for (const afterSequence of [0n, lastSequence]) {
      for await (const { update } of studio.runs.watchRun({ runId, afterSequence })) {
        if (update.case !== "progress") continue;
        expect(update.value).toMatchObject({
          lastSequence,
          progress: { stage: "sharpening" },
          fallbackRunId: child.runId,
          attempt: 1,
        });
        break;
      }
    }
  });
});

describe("a server", () => {
  it("does not start with a fallback whose converter is missing, or for others", async () => {
    await expect(listen({}, {}, () => 0)).rejects.toThrow(/Poster: fallbacks\[0\]: .*no converter "poster-of-sketch"/);
    const wrong = listen({}, {}, ({ server }) =>
      server.convert("poster-of-sketch", {
        workflow: FallbacksService.method.film,
        fallback: FallbacksService.method.sketch,
      }),
    );
    await expect(wrong).rejects.toThrow(/the converter "poster-of-sketch" is for .*Film and .*Sketch/);
  });

  it("warns once of what a fallback loses", async () => {
    const warnings: unknown[] = [];
    const quiet = () => {};
    const log = { debug: quiet, info: quiet, error: quiet, warn: (fields: object) => void warnings.push(fields) };
    const studio = await start({}, { log });
    await studio.server.reload();
    expect(warnings).toEqual([
      { workflow: film, fallback: sketch, request: ["tags"], response: ["film.pencil"] },
      { workflow: film, fallback: still, request: ["mood", "seconds", "tags"], response: [] },
    ]);
  });
});
