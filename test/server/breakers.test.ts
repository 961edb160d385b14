import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { BreakerMode, BreakerState, ForceBreakerRequestSchema } from "../../gen/retake/v1/breaker_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import type { Fitness, ServiceJobs } from "../../src/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import {
  breakerOf,
  circuitBreaker,
  drainMany,
  name,
  type Options,
  plain,
  start,
  startRun,
  stateName,
  trip,
} from "./breaker-studio.ts";
import { deferred, eventsOf, kindsOf, rejection, stateOf, stopServer } from "./harness.ts";

describe("a back-end that is dead", () => {
  it("is left alone: attached callers without a key fail at once, with the time to wait", async () => {
    const studio = await start();
    await trip(studio);
    await studio.clock.advance(10_000);
    const error = await rejection(studio.workflows.plain({}), Code.Unavailable);
    expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({ reason: "BREAKER_OPEN", domain: "retake.v1" });
    expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toMatchObject({ seconds: 20n, nanos: 0 });
    expect(error.rawMessage).toContain("3 of 3 attempts failed within 60 s");
    expect(error.metadata.get("grpc-retry-pushback-ms")).toBe("20000");
    expect(studio.backend.calls).toEqual([]);
  });

  it("has keyed and detached runs parked, saying why and until when", async () => {
    const studio = await start();
    await trip(studio);
    const detached = await startRun(studio);
    const keyed = studio.workflows.plain({}, { headers: { "idempotency-key": "k" } });
    await studio.clock.advance(1_000);
    const { runs } = await studio.runs.listRuns({ workflow: plain, states: [RunState.PARKED] });
    expect(runs).toHaveLength(2);
    const { run } = await studio.runs.getRun({ runId: detached });
    expect(run?.wait).toMatchObject({
      gate: "breaker",
      reason: `the breaker of ${plain} is open: 3 of 3 attempts failed within 60 s`,
      position: 1,
    });
    expect(Number(run?.wait?.notBefore?.seconds) * 1000).toBe(studio.clock.now() + 29_000);
    studio.backend.down = false;
    await studio.clock.advance(29_000);
    expect((await keyed).text).toBe("");
    expect(kindsOf(await eventsOf(studio, detached))).toEqual([
      "accepted",
      "parked",
      "woken",
      "attemptStarted",
      "succeeded",
    ]);
  });

  it("has no more runs parked than may wait, while those that do not wait go on to fail at once", async () => {
    const studio = await start({}, { concurrency: { queueLimit: 2 } });
    await trip(studio);
    const first = await startRun(studio, "1");
    await startRun(studio, "2");
    const refused = await rejection(startRun(studio, "3"), Code.ResourceExhausted);
    expect(refused.findDetails(ErrorInfoSchema)[0]?.reason).toBe("QUEUE_FULL");
    const failed = await rejection(studio.workflows.plain({}), Code.Unavailable);
    expect(failed.findDetails(ErrorInfoSchema)[0]?.reason).toBe("BREAKER_OPEN");
    await studio.runs.cancelRun({ runId: first });
    await startRun(studio, "4");
    // As many come at once as like.
    const restarted = await Promise.allSettled(Array.from({ length: 5 }, () => startRun(studio, "5")));
    expect(restarted.filter(({ status }) => status === "fulfilled")).toEqual([]);
    expect(await breakerOf(studio)).toMatchObject({ waitingRuns: 2n });
  });

  it("gets its trial from a newcomer also where nobody may wait", async () => {
    const studio = await start({}, { concurrency: { queueLimit: 0 } });
    await trip(studio);
    await rejection(startRun(studio), Code.ResourceExhausted);
    studio.backend.down = false;
    await studio.clock.advance(30_000);
    await startRun(studio, "trial");
    expect([studio.backend.calls, await stateName(studio)]).toEqual([["trial"], "CLOSED"]);
  });

  it("is tried by one run a time, whose failure costs the others nothing", async () => {
    const studio = await start();
    await trip(studio);
    const runIds: string[] = [];
    for (const text of ["a", "b", "c"]) runIds.push(await startRun(studio, text));
    await studio.clock.advance(30_000);
    expect(studio.backend.calls).toEqual(["a"]);
    expect(await stateName(studio)).toBe("OPEN");
    await studio.clock.advance(30_000);
    expect(studio.backend.calls).toEqual(["a", "b"]);
    expect(await stateOf(studio, runIds[0] ?? "")).toBe(RunState.FAILED);
    expect(await stateOf(studio, runIds[2] ?? "")).toBe(RunState.PARKED);
    expect(kindsOf(await eventsOf(studio, runIds[2] ?? "", 2))).toEqual(["accepted", "parked"]);
  });

  it("fails parked runs too where the policy says so, and parks attached ones where it does", async () => {
    const failing = await start({}, { circuitBreaker: { ...circuitBreaker, onOpen: 2 } });
    await trip(failing);
    expect(await stateOf(failing, await startRun(failing))).toBe(RunState.FAILED);
    const parking = await start({}, { circuitBreaker: { ...circuitBreaker, onOpen: 1 } });
    await trip(parking);
    const answer = parking.workflows.plain({ text: "patient" });
    await parking.clock.advance(1);
    parking.backend.down = false;
    await parking.clock.advance(30_000);
    expect((await answer).text).toBe("patient");
  });

  it("is not blamed for its callers' mistakes and cancellations", async () => {
    const studio = await start();
    for (let i = 0; i < 10; i++) await startRun(studio, "wrong");
    studio.backend.hold = deferred();
    for (let i = 0; i < 10; i++) await studio.runs.cancelRun({ runId: await startRun(studio) });
    studio.backend.hold.resolve();
    await studio.clock.advance(0);
    expect(await breakerOf(studio)).toMatchObject({ state: BreakerState.CLOSED, attempts: 0 });
  });

  it("is not blamed for the deadlines of runs, but for attempts that take too long", async () => {
    const deadline = await start({}, { timeout: { seconds: 5n } });
    deadline.backend.hold = deferred();
    for (let i = 0; i < 5; i++) await startRun(deadline);
    await deadline.clock.advance(5_000);
    expect(await breakerOf(deadline)).toMatchObject({ attempts: 0 });
    const slow = await start({}, { attemptTimeout: { seconds: 5n } });
    slow.backend.hold = deferred();
    for (let i = 0; i < 3; i++) await startRun(slow);
    await slow.clock.advance(5_000);
    expect(await stateName(slow)).toBe("OPEN");
  });

  it("does not hold up a trial that is cancelled and never stops", async () => {
    const studio = await start();
    await trip(studio);
    studio.backend.hold = deferred();
    const [trial, next] = [await startRun(studio, "trial"), await startRun(studio, "next")];
    await studio.clock.advance(30_000);
    expect(studio.backend.calls).toEqual(["trial"]);
    await studio.runs.cancelRun({ runId: trial });
    await studio.clock.advance(0);
    expect(studio.backend.calls).toEqual(["trial", "next"]);
    studio.backend.down = false;
    studio.backend.hold.resolve();
    await studio.clock.advance(0);
    expect(await stateOf(studio, next)).toBe(RunState.SUCCEEDED);
    expect(await stateName(studio)).toBe("CLOSED");
  });

  it("gets its retries through the breaker too", async () => {
    const studio = await start(
      {},
      { retry: { maxAttempts: 5, initialBackoff: { seconds: 1n }, maxBackoff: { seconds: 1n } } },
    );
    studio.backend.down = true;
    const runId = await startRun(studio, "stubborn");
    await studio.clock.advance(10_000);
    expect(studio.backend.calls).toHaveLength(3);
    expect(await stateOf(studio, runId)).toBe(RunState.PARKED);
    studio.backend.down = false;
    await studio.clock.advance(30_000);
    expect(await stateOf(studio, runId)).toBe(RunState.SUCCEEDED);
  });
});

describe("a back-end that can be asked whether it is fit", () => {
  it("is asked instead of being tried by a run, again after each reset time-out", async () => {
    const asked: string[] = [];
    let answer: () => Fitness | undefined = () => ({ fit: false, reason: "no card yet" });
    const probeWorkflow: ServiceJobs["probeWorkflow"] = async (workflow) => {
      asked.push(workflow);
      return answer();
    };
    const studio = await start({}, {}, { probeWorkflow });
    const { backend, clock } = studio;
    await trip(studio);
    const runIds = [await startRun(studio, "a"), await startRun(studio, "b")];
    await clock.advance(30_000);
    expect([asked, backend.calls]).toEqual([[plain], []]);
    const reasons = async () => (await breakerOf(studio)).transitions.map(({ reason }) => reason);
    expect((await reasons())[0]).toBe("its back-end is not fit yet: no card yet");
    answer = () => {
      throw new Error("no driver");
    };
    await clock.advance(30_000);
    expect((await reasons())[0]).toBe("its back-end is not fit yet: it could not be asked: Error: no driver");
    expect(backend.calls).toEqual([]);
    answer = () => ({ fit: true });
    backend.down = false;
    await clock.advance(30_000);
    expect(await stateName(studio)).toBe("CLOSED");
    expect(backend.calls).toEqual(["a", "b"]);
    for (const runId of runIds) expect(await stateOf(studio, runId)).toBe(RunState.SUCCEEDED);
  });

  it("has 5 s to answer, and is tried by a run where it cannot tell", async () => {
    let answer: Promise<Fitness | undefined> = new Promise(() => {});
    let stopped = 0;
    const probeWorkflow: ServiceJobs["probeWorkflow"] = (_, signal) => {
      signal.addEventListener("abort", () => stopped++);
      return answer;
    };
    const studio = await start({}, {}, { probeWorkflow });
    const { backend, clock } = studio;
    await trip(studio);
    await startRun(studio, "a");
    await clock.advance(34_999);
    expect(await stateName(studio)).toBe("HALF_OPEN");
    await clock.advance(1);
    expect([await stateName(studio), stopped]).toEqual(["OPEN", 1]);
    answer = Promise.resolve(undefined);
    backend.down = false;
    await clock.advance(30_000);
    expect([await stateName(studio), backend.calls]).toEqual(["CLOSED", ["a"]]);
  });
});

describe("runs that wait for a permit when their breaker opens", () => {
  it("are not held up by attempts that hang: they fail, or are parked", async () => {
    const studio = await start({}, { concurrency: { limit: 1 } });
    const { admin, backend, clock, workflows } = studio;
    backend.hold = deferred();
    const hanging = await startRun(studio, "hangs");
    const attached = rejection(workflows.plain({}), Code.Unavailable);
    const detached = await startRun(studio);
    expect(await stateOf(studio, detached)).toBe(RunState.QUEUED);
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
    await clock.advance(0);
    expect((await attached).findDetails(ErrorInfoSchema)[0]?.reason).toBe("BREAKER_OPEN");
    expect(await stateOf(studio, detached)).toBe(RunState.PARKED);
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.AUTOMATIC });
    await clock.advance(0);
    backend.hold.resolve();
    await clock.advance(0);
    for (const runId of [hanging, detached]) expect(await stateOf(studio, runId)).toBe(RunState.SUCCEEDED);
    expect(await stateName(studio)).toBe("CLOSED");
  });
});

describe("runs that a breaker has parked", () => {
  it("go in waves that each wait for the one before, and newcomers behind them", async () => {
    const studio = await start();
    await trip(studio);
    const { clock, backend } = studio;
    for (let i = 0; i < 9; i++) await startRun(studio, String(i));
    backend.down = false;
    await clock.advance(29_999);
    backend.hold = deferred();
    await clock.advance(1);
    const waves: string[][] = [];
    for (let begun = 0; begun < backend.calls.length; ) {
      waves.push(backend.calls.slice(begun));
      begun = backend.calls.length;
      if (waves.length === 2) await startRun(studio, "newcomer");
      const { hold } = backend;
      backend.hold = deferred();
      hold?.resolve();
      await clock.advance(0);
    }
    // The trial first.
    expect(waves).toEqual([["0"], ["1"], ["2", "3"], ["4", "5", "6", "7"], ["8", "newcomer"]]);
  });

  it("exceed no limit when thousands of them go", async () => {
    const studio = await start({ config: { concurrencyLimit: 20 } });
    await drainMany(studio, 1_000, 20);
  });

  it("can be cancelled, expire, and be paused, and hold up nobody then", async () => {
    const studio = await start({}, { timeout: { seconds: 20n } });
    const { runs, clock, admin } = studio;
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN, reason: "new cards" });
    const [expired, cancelled] = [await startRun(studio), await startRun(studio)];
    await runs.cancelRun({ runId: cancelled });
    await clock.advance(20_000);
    expect(await stateOf(studio, cancelled)).toBe(RunState.CANCELLED);
    expect(await stateOf(studio, expired)).toBe(RunState.EXPIRED);
    expect((await breakerOf(studio)).waitingRuns).toBe(0n);
    const paused = await startRun(studio);
    await runs.pauseWorkflow({ workflow: plain });
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.AUTOMATIC });
    await clock.advance(0);
    expect((await runs.getRun({ runId: paused })).run?.wait).toMatchObject({ gate: "pause" });
    await runs.resumeWorkflow({ workflow: plain });
    await clock.advance(0);
    expect(await stateOf(studio, paused)).toBe(RunState.SUCCEEDED);
    expect(await stateName(studio)).toBe("CLOSED");
  });

  it("do not stay when it opens again, where they would not have waited for an open one", async () => {
    const studio = await start();
    const { admin, backend, clock, workflows } = studio;
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
    for (const text of ["first", "second"]) await startRun(studio, text);
    backend.hold = deferred();
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_CLOSED });
    await clock.advance(0);
    expect(backend.calls).toEqual(["first"]);
    const attached = rejection(workflows.plain({ text: "behind the second" }), Code.Unavailable);
    const detached = await startRun(studio, "last");
    expect(await breakerOf(studio)).toMatchObject({ waitingRuns: 3n });
    await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
    await clock.advance(0);
    expect((await attached).findDetails(ErrorInfoSchema)[0]?.reason).toBe("BREAKER_OPEN");
    expect(kindsOf(await eventsOf(studio, detached, 2))).toEqual(["accepted", "parked"]);
    expect(await breakerOf(studio)).toMatchObject({ waitingRuns: 2n });
    backend.hold.resolve();
  });

  it("see at once that their policy has a fallback now, or fails what meets an open breaker", async () => {
    const studio = await start();
    const { admin, clock, runs } = studio;
    await trip(studio);
    const delegated = await startRun(studio, "elsewhere");
    await admin.setPolicyOverride({ workflow: plain, policy: { fallbacks: [name("Keyed")] } });
    await clock.advance(0);
    expect(kindsOf(await eventsOf(studio, delegated))).toEqual([
      ...["accepted", "parked", "woken", "fallbackStarted", "succeeded"],
    ]);
    await admin.deletePolicyOverride({ workflow: plain });
    const failing = await startRun(studio);
    expect(await stateOf(studio, failing)).toBe(RunState.PARKED);
    await admin.setPolicyOverride({ workflow: plain, policy: { circuitBreaker: { onOpen: 2 } } });
    await clock.advance(0);
    const { run } = await runs.getRun({ runId: failing });
    expect(run?.failure?.reason).toBe("BREAKER_OPEN");
    expect(await breakerOf(studio)).toMatchObject({ waitingRuns: 0n });
  });

  it("go on when their policy has no breaker any more", async () => {
    const studio = await start();
    await trip(studio);
    const runId = await startRun(studio);
    studio.backend.down = false;
    await studio.server.reload({ grpc: { disabled: true }, web: { disabled: true } });
    await studio.clock.advance(0);
    expect(await stateOf(studio, runId)).toBe(RunState.SUCCEEDED);
    expect((await studio.admin.listBreakers({})).breakers).toEqual([]);
  });
});

describe("a restart", () => {
  it("keeps an open breaker open for the rest of its time, and parked runs in line", async () => {
    const first = await start();
    await trip(first);
    const runIds: string[] = [];
    for (const text of ["a", "b", "c"]) {
      runIds.push(await startRun(first, text));
      await first.clock.advance(1);
    }
    await first.clock.advance(9_997);
    const recorded = async (runId: string) => (await first.storage.journal.read(`run/${runId}`, 0, 100)).length;
    const before = await recorded(runIds[1] ?? "");
    await stopServer(first);
    const { storage, clock } = first;
    const second = await start({ storage, clock });
    await clock.advance(0);
    expect(await breakerOf(second)).toMatchObject({ state: BreakerState.OPEN, generation: 1n, waitingRuns: 3n });
    expect(await recorded(runIds[1] ?? "")).toBe(before);
    await rejection(second.workflows.plain({}), Code.Unavailable);
    await clock.advance(19_999);
    expect(second.backend.calls).toEqual([]);
    second.backend.hold = deferred();
    await clock.advance(1);
    expect(second.backend.calls).toEqual(["a"]);
    await stopServer(second);
    const third = await start({ storage, clock });
    await clock.advance(0);
    // The trial of before was interrupted, and is retaken: as a trial.
    expect(third.backend.calls).toHaveLength(3);
    expect(await stateName(third)).toBe("CLOSED");
    for (const runId of runIds) expect(await stateOf(third, runId)).toBe(RunState.SUCCEEDED);
  });

  it("keeps a half-open one so, wherever its back-end is, and closes it for another one", async () => {
    const at = (...targets: string[]) => ({
      workflows: { [plain]: { circuitBreaker } },
      backends: [
        {
          service: WorkflowsService.typeName,
          endpoints: targets.map((target) => ({ target, healthCheck: { disabled: true } })),
        },
      ],
    });
    const first = await start({ config: at("dns:///127.0.0.1:1", "dns:///127.0.0.1:2") });
    await first.admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
    await first.admin.forceBreaker({ workflow: plain, mode: BreakerMode.AUTOMATIC });
    await stopServer(first);
    const { storage, clock } = first;
    const second = await start({ config: at("dns:///127.0.0.1:2", "dns:///127.0.0.1:1"), storage, clock });
    expect(await breakerOf(second)).toMatchObject({
      state: BreakerState.HALF_OPEN,
      generation: 2n,
      backend: "dns:///127.0.0.1:1, dns:///127.0.0.1:2",
    });
    await second.server.reload({ grpc: { disabled: true }, web: { disabled: true }, ...at("dns:///127.0.0.1:3") });
    const moved = await breakerOf(second);
    expect(moved).toMatchObject({ state: BreakerState.CLOSED, backend: "dns:///127.0.0.1:3" });
    // One more where the trial of the back-end, which is not there, has failed meanwhile.
    expect([3n, 4n]).toContain(moved.generation);
    expect(moved.transitions[0]?.reason).toMatch(/^its back-end is dns:\/\/\/127\.0\.0\.1:3 now/);
  });

  it("keeps what an operator has said, with its end", async () => {
    const first = await start();
    const { clock, storage } = first;
    const { breaker } = await first.admin.forceBreaker({
      workflow: plain,
      mode: BreakerMode.FORCED_OPEN,
      ttl: { seconds: 3600n },
      reason: "new cards",
    });
    expect(breaker).toMatchObject({
      workflow: plain,
      backend: "in-process",
      state: BreakerState.OPEN,
      mode: BreakerMode.FORCED_OPEN,
      transitions: [{ requestedBy: "in-process", reason: "new cards", event: { case: "forced" } }],
    });
    await stopServer(first);
    await clock.advance(1_000_000);
    const second = await start({ storage, clock });
    expect((await breakerOf(second)).mode).toBe(BreakerMode.FORCED_OPEN);
    const runId = await startRun(second);
    expect((await second.runs.getRun({ runId })).run?.wait).toMatchObject({
      gate: "breaker",
      reason: `the breaker of ${plain} is held open by in-process: new cards`,
    });
    await clock.advance(2_599_999);
    expect(await stateOf(second, runId)).toBe(RunState.PARKED);
    await clock.advance(2);
    expect(await stateOf(second, runId)).toBe(RunState.SUCCEEDED);
    expect(await breakerOf(second)).toMatchObject({ state: BreakerState.CLOSED, mode: BreakerMode.AUTOMATIC });
  });

  it("leaves nothing of a breaker that nobody has any more, but what an operator has said", async () => {
    const first = await start();
    const { clock, storage } = first;
    const streams = () => storage.journal.listStreams("breaker/", "", 10);
    await trip(first);
    expect(await streams()).toHaveLength(1);
    await stopServer(first);
    const without = { config: { workflows: {} }, storage, clock };
    const second = await start(without);
    await stopServer(second);
    expect(await streams()).toEqual([]);
    const third = await start({ storage, clock });
    await third.admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
    await stopServer(third);
    await stopServer(await start(without));
    const last = await start({ storage, clock });
    expect((await breakerOf(last)).mode).toBe(BreakerMode.FORCED_OPEN);
  });
});

describe("the journal of a breaker", () => {
  it("does not grow without end, and the newest transition holds", async () => {
    const first = await start();
    const { clock, storage, admin } = first;
    for (let i = 0; i < 1_100; i++) {
      const mode = i % 2 === 0 ? BreakerMode.FORCED_OPEN : BreakerMode.FORCED_CLOSED;
      const forced = admin.forceBreaker({ workflow: plain, mode, reason: String(i) });
      await clock.advance(0);
      await forced;
    }
    await stopServer(first);
    const streams = await storage.journal.listStreams("breaker/", "", 10);
    expect(streams).toHaveLength(1);
    expect((await storage.journal.read(streams[0] ?? "", 0, 10_000)).length).toBe(100);
    const second = await start({ storage, clock });
    const breaker = await breakerOf(second);
    expect(breaker).toMatchObject({ generation: 1_100n, mode: BreakerMode.FORCED_CLOSED });
    expect(breaker.transitions.map(({ reason }) => reason)).toEqual(
      Array.from({ length: 10 }, (_, index) => String(1_099 - index)),
    );
  });
});

describe("ListBreakers and ForceBreaker", () => {
  it("list each workflow that has one, a page at a time and by state", async () => {
    const policy = { circuitBreaker };
    const workflows = { [plain]: policy, [name("Keyed")]: policy, [name("Limited")]: policy };
    const studio = await start({ config: { workflows } });
    await trip(studio);
    const all = (await studio.admin.listBreakers({})).breakers;
    expect(all.map(({ workflow, state }) => [workflow, BreakerState[state]])).toEqual([
      [name("Keyed"), "CLOSED"],
      [name("Limited"), "CLOSED"],
      [plain, "OPEN"],
    ]);
    const first = await studio.admin.listBreakers({ pageSize: 2 });
    expect(first.breakers).toHaveLength(2);
    const second = await studio.admin.listBreakers({ pageSize: 2, pageToken: first.nextPageToken });
    expect(second.breakers.map(({ workflow }) => workflow)).toEqual([plain]);
    expect(second.nextPageToken).toBe("");
    const open = await studio.admin.listBreakers({ states: [BreakerState.OPEN] });
    expect(open.breakers.map(({ workflow }) => workflow)).toEqual([plain]);
    await rejection(
      studio.admin.listBreakers({ states: [BreakerState.OPEN], pageToken: first.nextPageToken }),
      Code.InvalidArgument,
    );
  });

  it("tell what is counted, and what has happened", async () => {
    const studio = await start();
    await startRun(studio);
    studio.backend.down = true;
    await startRun(studio);
    expect(await breakerOf(studio)).toMatchObject({ attempts: 2, failures: 1, transitions: [] });
    await startRun(studio);
    const [opened] = (await breakerOf(studio)).transitions;
    expect(opened).toMatchObject({ reason: "2 of 3 attempts failed within 60 s", event: { case: "opened" } });
  });

  it.each([
    ["of no workflow", { workflow: name("Plian"), mode: BreakerMode.FORCED_OPEN }, Code.NotFound],
    ["of a workflow without one", { workflow: name("Keyed"), mode: BreakerMode.FORCED_OPEN }, Code.FailedPrecondition],
    ["to no mode", { workflow: plain }, Code.InvalidArgument],
    ["to an unknown mode", { workflow: plain, mode: 9 }, Code.InvalidArgument],
    ["for no time", { workflow: plain, mode: BreakerMode.FORCED_OPEN, ttl: {} }, Code.InvalidArgument],
    [
      "to be automatic for a time",
      { workflow: plain, mode: BreakerMode.AUTOMATIC, ttl: { seconds: 5n } },
      Code.InvalidArgument,
    ],
  ])("refuse one %s", async (_, request, code) => {
    const { admin } = await start();
    await rejection(admin.forceBreaker(create(ForceBreakerRequestSchema, request)), code);
  });

  it("log each transition", async () => {
    const lines: [string, object, string][] = [];
    const write = (level: string) => (facts: object, message: string) => lines.push([level, facts, message]);
    const log = { info: write("info"), warn: write("warn"), error: write("error") } as unknown as NonNullable<
      Options["log"]
    >;
    const studio = await start({ log });
    await trip(studio);
    studio.backend.down = false;
    await studio.clock.advance(30_000);
    await startRun(studio);
    await studio.admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_CLOSED, reason: "calm" });
    const told = lines.filter(([, , message]) => message.startsWith("a breaker"));
    expect(told.map(([level, , message]) => `${level}: ${message}`)).toEqual([
      "warn: a breaker has opened: its back-end is left alone",
      "info: a breaker is half-open: a trial decides",
      "info: a breaker has closed",
      "warn: a breaker is held closed by an operator",
    ]);
    expect(told[0]?.[1]).toMatchObject({ workflow: plain, backend: "in-process", generation: 1 });
    expect(told[3]?.[1]).toMatchObject({ requestedBy: "in-process", reason: "calm" });
  });
});

describe("a retry budget", () => {
  const target = "in-process";
  const backends = [
    {
      service: WorkflowsService.typeName,
      endpoints: [{ target }],
      retryBudget: { maxTokens: 3, tokenRatio: 1, tokenInterval: { seconds: 100n } },
    },
  ];
  const retry = { maxAttempts: 9, initialBackoff: { seconds: 1n }, maxBackoff: { seconds: 1n }, backoffMultiplier: 1 };
  const generous = { circuitBreaker: { volumeThreshold: 1000 }, retry };

  it("has retries wait in the gate while attempts fail, saying so, and lets them go when others succeed", async () => {
    const studio = await start({ config: { backends, workflows: { [plain]: generous } } });
    const { clock, backend, runs } = studio;
    backend.down = true;
    const runId = await startRun(studio, "retry");
    await clock.advance(10_000);
    expect(backend.calls).toHaveLength(2);
    const { run } = await runs.getRun({ runId });
    expect(run?.state).toBe(RunState.QUEUED);
    expect(run?.wait).toMatchObject({ gate: "retry_budget", position: 1 });
    expect(Number(run?.wait?.notBefore?.seconds) * 1000).toBeGreaterThan(clock.now());
    expect(kindsOf(await eventsOf(studio, runId, 9)).slice(-2)).toEqual(["retryScheduled", "woken"]);
    backend.down = false;
    // First attempts need no token, and bring some.
    expect(await stateOf(studio, await startRun(studio, "other"))).toBe(RunState.SUCCEEDED);
    await clock.advance(0);
    expect(await stateOf(studio, runId)).toBe(RunState.SUCCEEDED);
  });

  it("stays spent over a stop, and gets no more meanwhile than time brings", async () => {
    const options = { config: { backends, workflows: { [plain]: generous } } };
    const first = await start(options);
    const { clock, storage } = first;
    first.backend.down = true;
    const runId = await startRun(first, "retry");
    await clock.advance(10_000);
    expect(first.backend.calls).toHaveLength(2);
    await stopServer(first);
    await clock.advance(20_000);
    const second = await start({ ...options, clock, storage });
    second.backend.down = true;
    expect((await second.runs.getRun({ runId })).run?.wait?.gate).toBe("retry_budget");
    // Half a token is missing, which 50 s bring.
    await clock.advance(15_000);
    expect(second.backend.calls).toEqual([]);
    await clock.advance(10_000);
    expect(second.backend.calls).toEqual(["retry"]);
  });

  it("lets them go by and by where nothing else runs, and forgets those that are cancelled", async () => {
    const studio = await start({ config: { backends, workflows: { [plain]: generous } } });
    const { clock, backend, runs } = studio;
    backend.down = true;
    const [first, second] = [await startRun(studio, "first"), await startRun(studio, "second")];
    await clock.advance(10_000);
    expect(backend.calls).toEqual(["first", "second"]);
    await runs.cancelRun({ runId: first });
    expect((await runs.getRun({ runId: second })).run?.wait?.position).toBe(1);
    backend.down = false;
    await clock.advance(100_000);
    expect(await stateOf(studio, second)).toBe(RunState.SUCCEEDED);
  });

  it("is taken away by a reload", async () => {
    const studio = await start({ config: { backends, workflows: { [plain]: generous } } });
    studio.backend.down = true;
    const runId = await startRun(studio);
    await startRun(studio);
    await studio.clock.advance(10_000);
    studio.backend.down = false;
    await studio.server.reload({ grpc: { disabled: true }, web: { disabled: true }, workflows: { [plain]: generous } });
    await studio.clock.advance(0);
    expect(await stateOf(studio, runId)).toBe(RunState.SUCCEEDED);
  });
});
