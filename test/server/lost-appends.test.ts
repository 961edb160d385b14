import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { step } from "../../src/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { JournalUnavailableError } from "../../src/runs/ports/journal.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { PlainResponseSchema, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { eventsOf, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

const plain = `${WorkflowsService.typeName}/Plain`;
const workflows = {
  [plain]: {
    timeout: { seconds: 600n },
    cancelGrace: { seconds: 5n },
    concurrency: { limit: 1, queueLimit: 9 },
    retry: { maxAttempts: 3, initialBackoff: { seconds: 60n }, retryableStatusCodes: ["UNAVAILABLE"] },
  },
};

/** A server whose journal refuses the next append to a run, alone, when the test says so. */
async function start(own: Parameters<typeof startServer>[0]) {
  const clock = createVirtualClock();
  const storage = createMemoryStorage({ clock });
  const { journal } = storage;
  const order = journal.order.bind(journal);
  const disk = { refusals: 0 };
  journal.order = (appends, settled, options) => {
    if (appends[0]?.stream.startsWith("run/") && disk.refusals > 0) {
      disk.refusals -= 1;
      clock.setImmediate(() => settled(new JournalUnavailableError("the record is too large")));
    } else {
      order(appends, settled, options);
    }
  };
  const harness = await startServer(own, { clock, storage, log: recordingLogger(), config: { workflows } });
  onTestFinished(() => stopServer(harness));
  const startRun = async (): Promise<string> => (await harness.runs.startRun({ workflow: plain })).run?.runId ?? "";
  const kindsOfRun = async (runId: string) => kindsOf(await eventsOf(harness, runId));
  return { ...harness, disk, startRun, kindsOfRun };
}

it("a run whose attempt could not journal a step is retaken", async () => {
  let calls = 0;
  const server = await start({
    plain: async (_, context) => {
      server.disk.refusals = ++calls === 1 ? 1 : 0;
      return step(context, "one", PlainResponseSchema, () => ({ text: `call ${calls}` }));
    },
  });
  const runId = await server.startRun();
  await server.clock.advance(1_000);
  expect(await server.kindsOfRun(runId)).toEqual([
    "accepted",
    "attemptStarted",
    "attemptFailed",
    "attemptStarted",
    "stepCompleted",
    "succeeded",
  ]);
});

it("a run whose result could not be journaled is retaken, and its caller is told to come back", async () => {
  let calls = 0;
  const server = await start({
    plain: () => {
      server.disk.refusals = ++calls === 1 ? 1 : 0;
      return {};
    },
  });
  const headers = { "idempotency-key": "k" };
  await Promise.all([rejection(server.workflows.plain({}, { headers }), Code.Unavailable), server.clock.advance(0)]);
  await server.clock.advance(1_000);
  expect([await server.workflows.plain({}, { headers }), calls]).toMatchObject([{}, 2]);
});

it("a run ends with its caller, whom it could not tell, unless there is a key", async () => {
  const server = await start({
    plain: () => {
      server.disk.refusals = 1;
      return {};
    },
  });
  await Promise.all([rejection(server.workflows.plain({}), Code.Unavailable), server.clock.advance(1_000)]);
  const { runs } = await server.runs.listRuns({});
  expect(runs.map(({ state }) => RunState[state])).toEqual(["CANCELLED"]);
});

it("a back-end that does not stop keeps neither the run nor others from their attempts", async () => {
  let calls = 0;
  const server = await start({
    plain: async (_, context) => {
      if (++calls > 1) return {};
      server.disk.refusals = 1;
      await context.checkpoint("job").catch(() => undefined);
      return new Promise(() => undefined);
    },
  });
  const ids = [await server.startRun(), await server.startRun()];
  await server.clock.advance(1_000);
  expect(await Promise.all(ids.map(async (id) => RunState[(await stateOf(server, id)) ?? 0]))).toEqual([
    "SUCCEEDED",
    "SUCCEEDED",
  ]);
});

it("a run whose back-end stops late waits in line until it is let through", async () => {
  let calls = 0;
  const stops = Promise.withResolvers<void>();
  const ends = Promise.withResolvers<void>();
  const server = await start({
    plain: async (_, context) => {
      switch (++calls) {
        case 1:
          server.disk.refusals = 1;
          await context.checkpoint("job").catch(() => undefined);
          await stops.promise;
          return {};
        case 2:
          await ends.promise;
          return {};
        default:
          return {};
      }
    },
  });
  const first = await server.startRun();
  const second = await server.startRun();
  await server.clock.advance(1_000);
  // The permit that was taken from the first went to the second.
  expect([RunState[(await stateOf(server, first)) ?? 0], calls]).toEqual(["QUEUED", 2]);
  stops.resolve();
  await server.clock.advance(1_000);
  ends.resolve();
  await server.clock.advance(1_000);
  expect([RunState[(await stateOf(server, first)) ?? 0], RunState[(await stateOf(server, second)) ?? 0]]).toEqual([
    "SUCCEEDED",
    "SUCCEEDED",
  ]);
});

it("a run can be cancelled before it is read anew", async () => {
  const server = await start({
    plain: async (_, context) => {
      server.disk.refusals = 1;
      await context.checkpoint("job");
      return {};
    },
  });
  const runId = await server.startRun();
  await server.clock.advance(1);
  const cancelling = server.runs.cancelRun({ runId });
  await server.clock.advance(0);
  await cancelling;
  expect(await server.kindsOfRun(runId)).toEqual([
    "accepted",
    "attemptStarted",
    "cancelRequested",
    "attemptFailed",
    "cancelled",
  ]);
});

it("a run that waits goes on waiting when it could not be told that it is cancelled", async () => {
  let calls = 0;
  const server = await start({
    plain: () => {
      if (++calls === 1) throw new ConnectError("not now", Code.Unavailable);
      return {};
    },
  });
  await server.runs.pauseWorkflow({ workflow: plain });
  const runId = await server.startRun();
  await server.clock.advance(0);
  server.disk.refusals = 1;
  await Promise.all([rejection(server.runs.cancelRun({ runId }), Code.Unavailable), server.clock.advance(0)]);
  await server.clock.advance(610_000);
  expect(RunState[(await stateOf(server, runId)) ?? 0]).toBe("EXPIRED");
});

it("a run whose caller has left while that could not be journaled ends all the same", async () => {
  const server = await start({ plain: () => Promise.reject(new ConnectError("not now", Code.Unavailable)) });
  const leaving = new AbortController();
  const calling = rejection(server.workflows.plain({}, { signal: leaving.signal }), Code.Canceled);
  await server.clock.advance(1_000);
  server.disk.refusals = 1;
  leaving.abort();
  await Promise.all([calling, server.clock.advance(1_000)]);
  const { runs } = await server.runs.listRuns({});
  expect(runs.map(({ state }) => RunState[state])).toEqual(["CANCELLED"]);
});
