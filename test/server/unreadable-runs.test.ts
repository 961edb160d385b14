import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { JournalUnavailableError } from "../../src/runs/ports/journal.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, startServer, stateOf, stopServer } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

const plain = `${WorkflowsService.typeName}/Plain`;
const workflows = {
  [plain]: { timeout: { seconds: 600n }, retry: { maxAttempts: 3, initialBackoff: { seconds: 10n } } },
};

/** A server whose journal cannot read runs as often as the test says. */
async function start(own: Parameters<typeof startServer>[0]) {
  const clock = createVirtualClock();
  const storage = createMemoryStorage({ clock });
  const { journal } = storage;
  const read = journal.read.bind(journal);
  const disk = { failures: 0 };
  journal.read = (stream, ...range) =>
    stream.startsWith("run/") && disk.failures-- > 0
      ? Promise.reject(new JournalUnavailableError("disk I/O error"))
      : read(stream, ...range);
  const log = recordingLogger();
  const harness = await startServer(own, { clock, storage, log, config: { workflows } });
  onTestFinished(() => stopServer(harness));
  return { ...harness, disk, errors: () => log.entries.filter(({ level }) => level === "error") };
}

async function startRun({ runs, clock }: Harness, workflow: string): Promise<string> {
  const { run } = await runs.startRun({ workflow });
  await clock.advance(0);
  return run?.runId ?? "";
}

const unavailable = () => new ConnectError("not now", Code.Unavailable);

it("goes on with a run that could not be read when its turn came, and says so once", async () => {
  let calls = 0;
  const server = await start({
    plain: () => {
      if (++calls === 1) throw unavailable();
      return {};
    },
  });
  const runId = await startRun(server, plain);
  server.disk.failures = 5;
  await server.clock.advance(30_000);
  expect([RunState[(await stateOf(server, runId)) ?? 0], calls]).toEqual(["SUCCEEDED", 2]);
  expect(server.errors()).toMatchObject([{ message: expect.stringContaining("tried again until it can") }]);
});

it("ends a run by its deadline although it could not be read at that moment", async () => {
  const server = await start({ plain: () => Promise.reject(unavailable()) });
  await server.runs.pauseWorkflow({ workflow: plain });
  const runId = await startRun(server, plain);
  server.disk.failures = 3;
  await server.clock.advance(610_000);
  expect(RunState[(await stateOf(server, runId)) ?? 0]).toBe("EXPIRED");
});

it("does not start while it cannot read what the last process has left behind", async () => {
  const clock = createVirtualClock();
  const killed = createMemoryStorage({ clock });
  // Never closed: it is killed.
  const first = await startServer({ plain: () => new Promise(() => undefined) }, { clock, storage: killed });
  const runId = await startRun(first, plain);
  const storage = killed.crash({ clock });
  const read = storage.journal.read.bind(storage.journal);
  let failures = 1;
  storage.journal.read = (stream, ...range) =>
    stream.startsWith("run/") && failures-- > 0
      ? Promise.reject(new JournalUnavailableError("disk I/O error"))
      : read(stream, ...range);
  const listen = async () => {
    const starting = startServer({ plain: () => ({}) }, { clock, storage });
    await Promise.all([starting, clock.advance(0)]);
    return starting;
  };
  await expect(listen()).rejects.toThrow("disk I/O error");
  const next = await listen();
  onTestFinished(() => stopServer(next));
  await clock.advance(0);
  expect(RunState[(await stateOf(next, runId)) ?? 0]).toBe("SUCCEEDED");
});
