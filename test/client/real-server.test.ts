import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunView } from "../../gen/retake/v1/run_service_pb.js";
import {
  connectRetake,
  RunCancelledError,
  RunExpiredError,
  RunFailedError,
  type RunUpdate,
} from "../../src/client/index.ts";
import type { WorkflowImpl } from "../../src/server/index.ts";
import { createSeededRandom } from "../../src/testing/seeded-random.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, startServer, stopServer } from "../server/harness.ts";

const { plain, keyed, flaky, streaming, hurried } = WorkflowsService.method;

/** A client whose transport leads to whichever server is up. */
async function setUp(own: WorkflowImpl<typeof WorkflowsService> = {}) {
  let current: Harness | undefined = await startServer(own);
  const { clock, storage } = current;
  const up = (): Transport => {
    if (current === undefined) throw new ConnectError("nobody there", Code.Unavailable);
    return current.server.transport;
  };
  const transport: Transport = {
    unary: async (...args) => up().unary(...args),
    stream: async (...args) => up().stream(...args),
  };
  return {
    clock,
    retake: connectRetake({ transport, clock, random: createSeededRandom(9) }),
    /** Lets time pass until the promise is settled. */
    async settled<T>(promise: Promise<T>): Promise<T> {
      let pending = true;
      const end = (): void => {
        pending = false;
      };
      promise.then(end, end);
      for (let second = 0; pending && second < 600; second++) await clock.advance(1_000);
      return promise;
    },
    async stop(): Promise<void> {
      const stopping = current;
      current = undefined;
      if (stopping !== undefined) await stopServer(stopping);
    },
    async startAgain(next: WorkflowImpl<typeof WorkflowsService>): Promise<void> {
      current = await startServer(next, { clock, storage });
    },
  };
}

function sequences(updates: readonly RunUpdate[]): number[] {
  return updates.flatMap((update) => (update.kind === "event" ? [Number(update.event.sequence)] : []));
}

describe("a client of a real server", () => {
  it("sees a run from its acceptance to its end, and gets the one message that is the result", async () => {
    const { retake, settled } = await setUp({
      async *streaming() {
        yield { update: { case: "progress", value: { fraction: 0.5 } } };
        yield { update: { case: "result", value: "a film" } };
      },
    });
    const run = await retake.start(streaming, {});
    const updates: RunUpdate[] = [];
    await settled(
      (async () => {
        for await (const update of run.events()) updates.push(update);
      })(),
    );
    const numbers = sequences(updates);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect((await settled(run.result())).update).toEqual({ case: "result", value: "a film" });
    expect((await settled(retake.attach(run.id, streaming).result())).update.value).toBe("a film");
    const full = await run.get({ view: RunView.FULL });
    expect(full).toMatchObject({ state: RunState.SUCCEEDED, statistics: { attempts: 1 } });
    expect(full.input?.value).toBeDefined();
  });

  it("rides through a restart: no event is missing or repeated, and the result is that of the second server", async () => {
    const { retake, clock, settled, stop, startAgain } = await setUp({
      plain: () => new Promise(() => {}),
    });
    const run = await retake.start(plain, { text: "x" });
    const updates: RunUpdate[] = [];
    let lost = 0;
    const watching = (async () => {
      for await (const update of run.events({ onReconnect: () => lost++ })) updates.push(update);
    })();
    const result = run.result();
    await clock.advance(1_000);
    await stop();
    const asking = run.get();
    await clock.advance(5_000);
    await startAgain({ plain: () => ({ text: "from the second server" }) });
    expect((await settled(result)).text).toBe("from the second server");
    await settled(watching);
    expect((await settled(asking)).runId).toBe(run.id);
    const numbers = sequences(updates);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(updates.at(-1)).toMatchObject({ event: { event: { case: "succeeded" } } });
    expect(lost).toBeGreaterThan(0);
  });

  it("starts one run per key", async () => {
    const { retake, settled } = await setUp();
    const first = await settled(retake.start(keyed, { requestId: "k", text: "a" }));
    const second = await settled(retake.start(keyed, { requestId: "k", text: "a" }));
    expect(second).toMatchObject({ id: first.id, joined: true });
    expect((await settled(second.result())).text).toBe("a");
    await expect(settled(retake.start(keyed, { requestId: "k", text: "b" }))).rejects.toMatchObject({
      code: Code.AlreadyExists,
    });
    const other = await settled(retake.start(plain, { text: "a" }));
    expect((await settled(retake.start(plain, { text: "a" }))).id).not.toBe(other.id);
  });

  it("throws how a run ended: failed, cancelled or expired", async () => {
    const { retake, clock, settled } = await setUp({
      flaky: () => {
        throw new ConnectError("no such style", Code.InvalidArgument);
      },
      hurried: (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    const failing = await retake.start(flaky, {});
    const failed: unknown = await settled(failing.result().catch((reason) => reason));
    expect(failed).toBeInstanceOf(RunFailedError);
    expect(failed).toMatchObject({
      code: Code.InvalidArgument,
      failure: { message: "no such style", retryable: false },
      run: { runId: failing.id, state: RunState.FAILED },
    });

    const cancelling = await retake.start(hurried, {});
    const waiting = cancelling.result().catch((reason) => reason);
    await clock.advance(100);
    await settled(cancelling.cancel("wrong prompt"));
    const cancelled: unknown = await settled(waiting);
    expect(cancelled).toBeInstanceOf(RunCancelledError);
    expect(cancelled).toMatchObject({ reason: "wrong prompt" });

    const expiring = await retake.start(hurried, {}, { timeoutMs: 500 });
    const expired: unknown = await settled(expiring.result().catch((reason) => reason));
    expect(expired).toBeInstanceOf(RunExpiredError);
  });

  it("reruns a run, and lists both", async () => {
    const { retake, settled } = await setUp();
    const first = await retake.start(plain, { text: "again" });
    await settled(first.result());
    const second = await settled(first.rerun());
    expect((await settled(second.result())).text).toBe("again");
    expect((await second.get()).rerunOf).toBe(first.id);
    const listed: string[] = [];
    for await (const { runId } of retake.list({ states: [RunState.SUCCEEDED], pageSize: 1 })) listed.push(runId);
    expect(listed).toEqual([second.id, first.id]);
  });

  it("ends a watch that begins behind the last event of a run", async () => {
    const { retake, settled } = await setUp();
    const run = await retake.start(plain, { text: "x" });
    await settled(run.result());
    const { lastSequence } = await run.get();
    const rest: RunUpdate[] = [];
    await settled(
      (async () => {
        for await (const update of run.events({ afterSequence: lastSequence })) rest.push(update);
      })(),
    );
    expect(rest).toEqual([]);
  });
});
