import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { AcceptedSchema } from "../../gen/retake/v1/run_pb.js";
import { LiveRuns } from "../../src/runs/live-runs.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import type { Journal, StreamAppend } from "../../src/runs/ports/journal.ts";
import type { RunEventBody } from "../../src/runs/run-record.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

/** A run that is running, and what has been appended since. */
async function runningRun() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const appends: StreamAppend[] = [];
  const watched: Journal = Object.create(journal, {
    order: {
      value: (...args: Parameters<Journal["order"]>) => {
        appends.push(...args[0]);
        journal.order(...args);
      },
    },
  });
  const live = new LiveRuns({
    journal: watched,
    feed: { publish: () => undefined, subscribe: () => () => undefined, listeners: () => 0 },
    clock,
    outbox: { endOf: () => undefined, stored: () => undefined },
    inputs: { remove: () => undefined },
    retireAtMs: () => undefined,
    onFallbackEnded: () => undefined,
    onLost: () => undefined,
  });
  const run = live.accept({ case: "accepted", value: create(AcceptedSchema, { runId: "run", workflow: "w" }) }, 0, 0);
  run.commit([attemptStarted]);
  await clock.advance(0);
  await run.durable;
  appends.splice(0);
  return { run, clock, appends, live, journal };
}

const attemptStarted: RunEventBody = {
  case: "attemptStarted",
  value: {
    $typeName: "retake.v1.AttemptStarted",
    attempt: 1,
    token: "run.1",
    endpoint: "",
    quality: 0,
    changedFields: [],
    inputSha256: new Uint8Array(),
    policyRevision: "",
  },
};

const step = (name: string): RunEventBody => ({
  case: "stepCompleted",
  value: { $typeName: "retake.v1.StepCompleted", name, inputSha256: new Uint8Array(), tries: 1, keptFrom: "" },
});

const succeeded: RunEventBody = { case: "succeeded", value: { $typeName: "retake.v1.Succeeded" } };

it("what may be committed soon shares the append of what happens in the same turn of the event loop", async () => {
  const { run, clock, appends } = await runningRun();
  run.commitSoon([step("one")]);
  run.commitSoon([step("two")]);
  run.commit([succeeded]);
  await clock.advance(0);
  await run.ended;
  expect(appends.map(({ expectedSequence, records }) => [expectedSequence, records.length])).toEqual([[2, 3]]);
});

it("what may be committed soon is appended by the end of the turn of the event loop, once", async () => {
  const { run, clock, appends } = await runningRun();
  run.commitSoon([step("one")]);
  expect(run.record.steps.size).toBe(1);
  expect(appends).toEqual([]);
  await clock.advance(0);
  expect(appends).toHaveLength(1);
  expect(run.quiet).toBe(true);
});

it("what may be committed soon is appended at once when somebody waits for it, and is not quiet before", async () => {
  const { run, clock, appends } = await runningRun();
  run.commitSoon([step("one")]);
  expect(run.quiet).toBe(false);
  const { durable } = run;
  expect(appends).toHaveLength(1);
  let isDurable = false;
  void durable.then(() => {
    isDurable = true;
  });
  await Promise.resolve();
  expect(isDurable).toBe(false);
  await clock.advance(0);
  await durable;
  expect(appends).toHaveLength(1);
});

it("comes behind what another run is writing, and is not stored without it", async () => {
  const { run, clock, appends, live, journal } = await runningRun();
  const child = (runId: string) => {
    const accepted = live.accept({ case: "accepted", value: create(AcceptedSchema, { runId, workflow: "w" }) }, 0, 0);
    accepted.follow(run);
    accepted.commit();
    return accepted;
  };
  run.commitSoon([step("one")]);
  const behind = child("behind");
  expect(appends.map(({ stream, records }) => [stream, records.length])).toEqual([
    ["run/run", 1],
    ["run/behind", 1],
    ["run/run", 0],
  ]);
  await clock.advance(0);
  appends.splice(0);
  // What is durable stays so, whoever writes next.
  const later = child("later");
  expect(appends).toHaveLength(1);

  const intrude = (expectedSequence: number) =>
    journal.append([{ stream: "run/run", expectedSequence, records: [new Uint8Array(1)] }]);
  await intrude(3);
  run.commit([step("two"), step("three")]);
  const refused = child("refused");
  await clock.advance(0);
  expect([run.lost, refused.lost]).toEqual([true, true]);
  // Now the journal has as many records as the lost run has written.
  await intrude(4);
  const never = child("never");
  await clock.advance(0);
  expect([behind, later, never].map(({ lost }) => lost)).toEqual([false, false, true]);
  // What is stored rests on nothing more.
  behind.commit([attemptStarted]);
  behind.commit([succeeded]);
  await clock.advance(0);
  expect(behind).toMatchObject({ lost: false, terminal: true });
  expect(await journal.listStreams("run/", "", 9)).toEqual(["run/behind", "run/later", "run/run"]);
});
