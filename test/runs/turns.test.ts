import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { AcceptedSchema, AttemptStartedSchema, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import type { Workflow } from "../../src/contract/index.ts";
import { createEmbeddedFeed } from "../../src/runs/embedded/index.ts";
import { createFailure } from "../../src/runs/failure.ts";
import type { Outcome, RunHandler } from "../../src/runs/handler.ts";
import { LiveRuns } from "../../src/runs/live-runs.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { Retakes } from "../../src/runs/retakes.ts";
import { timestampFromMs } from "../../src/runs/time.ts";
import { Turns, type TurnsOptions } from "../../src/runs/turns.ts";
import { createSeededRandom, createVirtualClock } from "../../src/testing/index.ts";
import { recordingLogger } from "../server/listening-server.ts";

/** A run whose first turn comes to what the stages make of it. */
async function takeTurn(chain: RunHandler) {
  const clock = createVirtualClock();
  const { journal, payloads } = createMemoryStorage({ clock });
  const withdrawn: string[] = [];
  const stoodAside: string[] = [];
  const wishes: number[] = [];
  const log = recordingLogger();
  const live = new LiveRuns({
    journal,
    clock,
    feed: createEmbeddedFeed({ onError: (error) => log.error({ err: error }, "a listener has failed") }),
    outbox: { endOf: () => undefined, stored: () => undefined },
    inputs: { remove: () => undefined },
    retireAtMs: () => undefined,
    onFallbackEnded: () => undefined,
    onLost: (_, error) => {
      throw error;
    },
  });
  const workflow = {
    name: "a.B/C",
    policy: { concurrency: { queueLimit: 9 }, maxInterruptions: 3, fallbacks: [] },
  } as unknown as Workflow;
  const turns = new Turns({
    live,
    payloads,
    scheduler: {
      wake: (_: string, atMs: number) => wishes.push(atMs - clock.now()),
      forget: () => undefined,
    } as unknown as TurnsOptions["scheduler"],
    gates: { waiting: () => 0 },
    contracts: {
      check: () => ({ kind: "same", workflow }),
      workflow: () => workflow,
    } as unknown as TurnsOptions["contracts"],
    pauses: { of: () => undefined, keeps: () => false, waiting: () => 0 },
    breakers: { find: () => undefined, keeps: () => false },
    retakes: new Retakes(),
    withdraw: (runId) => withdrawn.push(runId),
    standAside: (runId) => stoodAside.push(runId),
    chain,
    afterFailure: () => chain,
    clock,
    random: createSeededRandom(1),
    log,
  });
  const accepted = create(AcceptedSchema, {
    runId: "run",
    workflow: "a.B/C",
    mode: RunMode.DETACHED,
    deadline: timestampFromMs(clock.now() + 60_000),
  });
  const run = live.accept({ case: "accepted", value: accepted }, clock.now(), clock.now());
  const turn = turns.advance(run);
  await clock.advance(0);
  await turn;
  return { run, withdrawn, stoodAside, wishes, turns, live, clock, log: log.entries };
}

it("leaves no place and no trial behind when a stage throws, and says so", async () => {
  const { run, withdrawn, stoodAside, log } = await takeTurn(() => Promise.reject(new Error("a bug")));
  expect([withdrawn, stoodAside]).toEqual([[], ["run"]]);
  expect(run.refusal?.code).toBe(Code.Internal);
  expect(log).toMatchObject([{ level: "error", message: "a turn failed; the run takes another one later" }]);
});

it("ends the attempt of a turn that has failed, and lets the run take another one", async () => {
  let turns = 0;
  const failing: RunHandler = async ({ turn, run }) => {
    turns += 1;
    const attempt = run.attempts + 1;
    const started = create(AttemptStartedSchema, { attempt, token: `t${attempt}` });
    await turn.commit([{ case: "attemptStarted", value: started }]);
    throw new Error("a bug");
  };
  const { run, wishes, turns: taking } = await takeTurn(failing);
  expect([run.record.state, run.record.attempt, run.record.interruptions]).toEqual([RunState.QUEUED, undefined, 1]);
  expect(wishes).toEqual([200]);
  // A fault that stays: attempts are not made for ever.
  for (let more = 0; more < 9; more++) await taking.advance(run);
  expect([run.record.state, run.record.failure?.reason, turns]).toEqual([RunState.FAILED, "CRASH_LOOP", 3]);
  expect(wishes.slice(0, 2)).toEqual([200, 400]);
});

it("leaves none behind either when a run ends without having come to an attempt", async () => {
  const failure = createFailure({ code: Code.Unavailable, reason: "X", message: "" });
  const ends: readonly (readonly [Outcome, RunState])[] = [
    [{ kind: "failed", failure }, RunState.FAILED],
    [{ kind: "expired" }, RunState.EXPIRED],
  ];
  for (const [outcome, state] of ends) {
    const { run, withdrawn } = await takeTurn(async () => outcome);
    expect([run.record.state, withdrawn]).toEqual([state, ["run"]]);
  }
});

it("asks for nothing to be taken back from a run that waits", async () => {
  const { run, withdrawn } = await takeTurn(async () => ({ kind: "blocked", gate: "server", reason: "" }));
  expect([run.record.state, withdrawn]).toEqual([RunState.QUEUED, []]);
});

it("cancels a run that cannot be read as soon as it can, unless the server stops before", async () => {
  for (const [stops, cancelled] of [
    [false, true],
    [true, false],
  ]) {
    const { turns, live, clock, log } = await takeTurn(async () => ({ kind: "blocked", gate: "x", reason: "" }));
    const hold = live.hold.bind(live);
    let failures = 3;
    live.hold = (runId) => (failures-- > 0 ? Promise.reject(new Error("disk I/O error")) : hold(runId));
    await turns.cancelById("run", "parent", "its parent has ended");
    expect(log.map(({ level }) => level)).toEqual(["error"]);
    if (stops) await turns.handBack();
    await clock.advance(1_000);
    const state = (await hold("run"))?.record.state;
    expect([state === RunState.CANCELLED, clock.pendingTimers]).toEqual([cancelled, 0]);
  }
});
