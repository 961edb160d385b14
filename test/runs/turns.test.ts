import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { AcceptedSchema, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import type { Workflow } from "../../src/contract/index.ts";
import { createEmbeddedFeed } from "../../src/runs/embedded/index.ts";
import { createFailure } from "../../src/runs/failure.ts";
import type { Outcome, RunHandler } from "../../src/runs/handler.ts";
import { LiveRuns } from "../../src/runs/live-runs.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { timestampFromMs } from "../../src/runs/time.ts";
import { Turns, type TurnsOptions } from "../../src/runs/turns.ts";
import { createSeededRandom, createVirtualClock } from "../../src/testing/index.ts";
import { recordingLogger } from "../server/listening-server.ts";

/** A run whose only turn comes to what the stages make of it. */
async function takeTurn(chain: RunHandler) {
  const clock = createVirtualClock();
  const { journal, payloads } = createMemoryStorage({ clock });
  const withdrawn: string[] = [];
  const log = recordingLogger();
  const live = new LiveRuns({
    journal,
    clock,
    feed: createEmbeddedFeed({ onError: (error) => log.error({ err: error }, "a listener has failed") }),
    outbox: { endOf: () => undefined, stored: () => undefined },
    retireAtMs: () => undefined,
    onFallbackEnded: () => undefined,
    onLost: (_, error) => {
      throw error;
    },
  });
  const workflow = { name: "a.B/C", policy: { concurrency: { queueLimit: 9 } } } as unknown as Workflow;
  const turns = new Turns({
    live,
    payloads,
    scheduler: { wake: () => undefined, forget: () => undefined } as unknown as TurnsOptions["scheduler"],
    gates: { waiting: () => 0 },
    contracts: {
      check: () => ({ kind: "same", workflow }),
      workflow: () => workflow,
    } as unknown as TurnsOptions["contracts"],
    pauses: { of: () => undefined },
    breakers: { keeps: () => false },
    withdraw: (runId) => withdrawn.push(runId),
    chain,
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
  return { run, withdrawn, log: log.entries };
}

it("leaves no place and no trial behind when a stage throws, and says so", async () => {
  const { run, withdrawn, log } = await takeTurn(() => Promise.reject(new Error("a bug")));
  expect(withdrawn).toEqual(["run"]);
  expect(run.refusal?.code).toBe(Code.Internal);
  expect(log).toMatchObject([{ level: "error", message: "a turn failed; the run resumes at the next start" }]);
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
