import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import type { TestServerOptions } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import type { handlers } from "./handlers.ts";
import { type Harness, startServer, stateOf, stopServer } from "./harness.ts";

type Handlers = NonNullable<Parameters<typeof handlers>[0]>;

const flaky = `${WorkflowsService.typeName}/Flaky`;
const down = () => new ConnectError("down", Code.Unavailable);

async function start(own: Handlers, options: TestServerOptions): Promise<Harness> {
  const harness = await startServer(own, options);
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startRun({ runs, clock }: Harness, priority = 0): Promise<string> {
  const { run } = await runs.startRun({ workflow: flaky, priority });
  // The next one is to come at another moment.
  await clock.advance(10);
  return run?.runId ?? "";
}

/** Another server on what one has left that is not told to stop: whatever that has in memory, nobody takes over. */
function startNext({ clock, storage }: Harness, own: Handlers, options: TestServerOptions): Promise<Harness> {
  return start(own, { ...options, clock, storage });
}

describe("runs in line for a permit when their server is killed", () => {
  const oneAtATime = { config: { workflows: { [flaky]: { concurrency: { limit: 1, queueLimit: 9 } } } } };

  it("go on as they stood, behind what was at work, and each priority by itself", async () => {
    let begun = 0;
    const before = await start(
      { flaky: () => (begun++ === 0 ? Promise.reject(down()) : new Promise<never>(() => {})) },
      oneAtATime,
    );
    const retaken = await startRun(before);
    const atWork = await startRun(before);
    const second = await startRun(before);
    // Its backoff ends, and it stands behind the one that came meanwhile.
    await before.clock.advance(2_000);
    expect(await stateOf(before, retaken)).toBe(RunState.QUEUED);
    const [fourth, fifth] = [await startRun(before), await startRun(before)];
    const urgent = await startRun(before, 1);

    const order: string[] = [];
    const record: Handlers = { flaky: (_, { run }) => ({ attempts: order.push(run.runId) }) };
    const after = await startNext(before, record, oneAtATime);
    await after.clock.advance(1_000);
    expect(order).toEqual([urgent, atWork, second, retaken, fourth, fifth]);
  });

  it("stay behind what was at work when the next server is killed before that has begun again", async () => {
    const before = await start({ flaky: () => new Promise<never>(() => {}) }, oneAtATime);
    const first = await startRun(before);
    const rest = [await startRun(before), await startRun(before)];
    const urgent = await startRun(before, 1);
    const between = await startNext(before, { flaky: () => new Promise<never>(() => {}) }, oneAtATime);
    await between.clock.advance(1_000);
    expect(await stateOf(between, urgent)).toBe(RunState.RUNNING);
    expect(await stateOf(between, first)).toBe(RunState.QUEUED);

    const order: string[] = [];
    const record: Handlers = { flaky: (_, { run }) => ({ attempts: order.push(run.runId) }) };
    await startNext(before, record, oneAtATime);
    await before.clock.advance(1_000);
    expect(order).toEqual([urgent, first, ...rest]);
  });

  it("go on by when their backoffs have ended, where that was while no server ran", async () => {
    const before = await start({ flaky: () => Promise.reject(down()) }, oneAtATime);
    const ids = [await startRun(before), await startRun(before), await startRun(before)];
    const wakeUps = new Map<string, number>();
    for (const runId of ids) {
      const { run } = await before.runs.getRun({ runId });
      wakeUps.set(runId, Number(run?.wait?.notBefore?.nanos) + 1e9 * Number(run?.wait?.notBefore?.seconds));
    }
    await stopServer(before);
    await before.clock.advance(60_000);

    const order: string[] = [];
    const record: Handlers = { flaky: (_, { run }) => ({ attempts: order.push(run.runId) }) };
    await startNext(before, record, oneAtATime);
    await before.clock.advance(1_000);
    expect(order).toEqual(ids.sort((a, b) => (wakeUps.get(a) ?? 0) - (wakeUps.get(b) ?? 0)));
  });
});

describe("runs in line for a retry budget when their server is killed", () => {
  it("keep their positions", async () => {
    const budget = { maxTokens: 2, tokenInterval: { seconds: 3600n } };
    const backend = { service: WorkflowsService.typeName, endpoints: [{ target: "in-process" }], retryBudget: budget };
    const options = { config: { backends: [backend] } };
    const before = await start({ flaky: () => Promise.reject(down()) }, options);
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) ids.push(await startRun(before));
    await before.clock.advance(10_000);
    const positions = async ({ runs }: Harness) => {
      const waits = await Promise.all(ids.map(async (runId) => (await runs.getRun({ runId })).run?.wait));
      return waits.map((wait) => `${wait?.gate} ${wait?.position}`);
    };
    const held = await positions(before);
    expect([...held].sort()).toEqual([1, 2, 3, 4, 5].map((position) => `retry_budget ${position}`));

    const after = await startNext(before, { flaky: () => Promise.reject(down()) }, options);
    await after.clock.advance(1_000);
    expect(await positions(after)).toEqual(held);
  });
});
