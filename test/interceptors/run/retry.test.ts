import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSchema, type RunEvent, RunState } from "../../../gen/retake/v1/run_pb.js";
import { fail } from "../../../src/index.ts";
import { msFromDuration, msFromTimestamp } from "../../../src/runs/time.ts";
import { startBackend, startGateway } from "../../backends/gateway.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { eventsOf, type Harness, rejection, startServer, stateOf, stopServer } from "../../server/harness.ts";
import { fetchWeb, startListening } from "../../server/listening-server.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

async function startFlaky({ runs, clock }: Harness): Promise<string> {
  const { run } = await runs.startRun({ workflow: `${WorkflowsService.typeName}/Flaky` });
  await clock.advance(0);
  return run?.runId ?? "";
}

/** How long each wait between attempts was to be. */
function waitsOf(events: readonly RunEvent[]): number[] {
  return events.flatMap(({ time, event }) =>
    event.case === "retryScheduled" ? [msFromTimestamp(event.value.wakeAt) - msFromTimestamp(time)] : [],
  );
}

const busy = (retryAfter: string): Response =>
  new Response("busy", { status: 503, headers: { "retry-after": retryAfter } });

function delaysToldBy(error: ConnectError): readonly (number | string | null)[] {
  return [
    error.metadata.get("grpc-retry-pushback-ms"),
    msFromDuration(error.findDetails(RetryInfoSchema)[0]?.retryDelay),
    msFromDuration(error.findDetails(FailureSchema)[0]?.retryDelay),
  ];
}

describe("retry", () => {
  it("waits as long as the Retry-After of an HTTP answer says, in seconds or as a date", async () => {
    const harness = await start({
      flaky: (_, { run }) => {
        if (run.attempt === 1) throw busy("7");
        if (run.attempt === 2) throw busy(new Date(Math.ceil(harness.clock.now() / 1000) * 1000 + 9000).toUTCString());
        return { attempts: run.attempt };
      },
    });
    const runId = await startFlaky(harness);
    await harness.clock.advance(6999);
    expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
    await harness.clock.advance(1);
    await harness.clock.advance(10_000);
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
    const waits = waitsOf(await eventsOf(harness, runId));
    expect(waits[0]).toBe(7000);
    expect(waits[1]).toBeGreaterThanOrEqual(9000);
    expect(waits[1]).toBeLessThanOrEqual(10_000);
  });

  it("tells the caller what the back-end said when attempts run out", async () => {
    const harness = await start({
      flaky: () => {
        throw busy("7");
      },
    });
    const call = rejection(harness.workflows.flaky({}), Code.Unavailable);
    await harness.clock.advance(21_000);
    const error = await call;
    expect(delaysToldBy(error)).toEqual(["7000", 7000, 7000]);
    expect(error.findDetails(FailureSchema)[0]).toMatchObject({
      reason: "HTTP_503",
      causes: [{ reason: "HTTP_503", code: "503" }],
    });
    expect(error.rawMessage).not.toContain("busy");
  });

  it("tells a caller over HTTP by Retry-After", async () => {
    const { webPort } = await startListening({
      plain: () => {
        throw busy("7");
      },
    });
    const answer = await fetchWeb(webPort, `/${WorkflowsService.typeName}/Plain`, {
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toBe("7");
  });

  it("never waits past the run's deadline, and tells the caller how long it would have been", async () => {
    let attempts = 0;
    const harness = await start({
      flaky: () => {
        attempts += 1;
        throw busy("700");
      },
    });
    const error = await rejection(harness.workflows.flaky({}), Code.Unavailable);
    expect(attempts).toBe(1);
    expect(delaysToldBy(error)).toEqual(["700000", 700_000, 700_000]);
  });

  it("keeps the wait that a back-end asked for over a restart", async () => {
    const flaky = (_: unknown, { run }: { run: { attempt: number } }) => {
      if (run.attempt === 1) throw busy("60");
      return { attempts: run.attempt };
    };
    const before = await start({ flaky });
    const runId = await startFlaky(before);
    await before.clock.advance(20_000);
    await stopServer(before);
    const { storage, clock } = before;
    await clock.advance(10_000);
    const after = await start({ flaky }, { storage, clock });
    await clock.advance(29_999);
    expect(await stateOf(after, runId)).toBe(RunState.BACKING_OFF);
    await clock.advance(1);
    expect(await stateOf(after, runId)).toBe(RunState.SUCCEEDED);
  });

  it("starts the backoff anew behind a wait that a back-end asked for, over a restart too", async () => {
    const flaky = (_: unknown, { run }: { run: { attempt: number } }) => {
      if (run.attempt === 2) throw busy("5");
      if (run.attempt < 4) throw new ConnectError("away", Code.Unavailable);
      return { attempts: run.attempt };
    };
    const before = await start({ flaky });
    const runId = await startFlaky(before);
    await before.clock.advance(2000);
    expect(await stateOf(before, runId)).toBe(RunState.BACKING_OFF);
    await stopServer(before);
    const after = await start({ flaky }, { storage: before.storage, clock: before.clock });
    await after.clock.advance(20_000);
    const [first, asked, anew] = waitsOf(await eventsOf(after, runId));
    expect(first).toBeLessThanOrEqual(1200);
    expect(asked).toBe(5000);
    // The third backoff would have been 3.2 s at least.
    expect(anew).toBeGreaterThanOrEqual(799);
    expect(anew).toBeLessThanOrEqual(1200);
  });

  it("does not retake what a back-end rules out, though the policy lists its code", async () => {
    for (const thrown of [
      new ConnectError("no", Code.FailedPrecondition, { "grpc-retry-pushback-ms": "-1" }),
      failed(() => fail({ code: Code.FailedPrecondition, retryable: false, message: "no" })),
      failed(() => fail({ code: Code.Unavailable, retryable: false, message: "no" })),
    ]) {
      let attempts = 0;
      const harness = await start({
        flaky: () => {
          attempts += 1;
          throw thrown;
        },
      });
      const error = await rejection(harness.workflows.flaky({}));
      expect(attempts).toBe(1);
      expect(error.metadata.get("grpc-retry-pushback-ms")).toBe("-1");
    }
  });

  it("takes an error that a handler throws twice anew each time", async () => {
    const away = failed(() => fail({ code: Code.Unavailable, reason: "AWAY", message: "away" }));
    const harness = await start({
      flaky: () => {
        throw away;
      },
    });
    for (const _ of [1, 2]) {
      const runId = await startFlaky(harness);
      await harness.clock.advance(60_000);
      const waits = waitsOf(await eventsOf(harness, runId));
      expect(waits.map((wait) => 2 ** Math.round(Math.log2(wait / 1000)))).toEqual([1, 2, 4]);
    }
  });

  it("waits as long as fail() says, by its category, and shows callers its words", async () => {
    const harness = await start({
      flaky: (_, { run }) => {
        if (run.attempt === 1) fail({ category: "NETWORK", message: "wait", retryDelayMs: 3000 });
        fail({
          category: "MODEL",
          reason: "no model",
          message: "take another model",
          retryable: false,
          cause: "secret",
        });
      },
    });
    const call = rejection(harness.workflows.flaky({}), Code.FailedPrecondition);
    await harness.clock.advance(3000);
    const error = await call;
    const [failure] = error.findDetails(FailureSchema);
    expect(failure).toMatchObject({
      category: FailureCategory.MODEL,
      reason: "NO_MODEL",
      message: "take another model",
      final: true,
    });
    expect(failure?.referenceId).not.toBe("");
    expect(JSON.stringify(failure?.causes)).not.toContain("secret");
  });

  it("does what a remote back-end asks for, and passes it on", async () => {
    let attempts = 0;
    const backend = await startBackend({
      flaky: () => {
        attempts += 1;
        throw new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "35" });
      },
    });
    const { workflows, runs } = await startGateway([{ port: backend.port }]);
    let runId = "";
    const onHeader = (header: Headers) => {
      runId = header.get("retake-run-id") ?? runId;
    };
    const error = await rejection(workflows.flaky({}, { onHeader }), Code.Unavailable);
    expect(delaysToldBy(error)).toEqual(["35", 35, 35]);
    expect(attempts).toBe(4);
    const events: RunEvent[] = [];
    for await (const { update } of runs.watchRun({ runId: runId || (error.metadata.get("retake-run-id") ?? "") })) {
      if (update.case === "event") events.push(update.value);
    }
    // Its own would be a second.
    for (const wait of waitsOf(events)) expect(wait).toBeLessThanOrEqual(36);
    expect(waitsOf(events)).toHaveLength(3);
  });

  it("keeps what a remote back-end that ran out of time, or refuses our credentials, says of another attempt", async () => {
    let code = Code.DeadlineExceeded;
    const backend = await startBackend({
      plain: () => {
        throw new ConnectError("late", code, { "grpc-retry-pushback-ms": "4000" });
      },
    });
    const { workflows } = await startGateway([{ port: backend.port }]);
    expect(delaysToldBy(await rejection(workflows.plain({}), Code.Unavailable))).toEqual(["4000", 4000, 4000]);
    code = Code.Unauthenticated;
    const refused = await rejection(workflows.plain({}), Code.Internal);
    expect(refused.findDetails(FailureSchema)[0]).toMatchObject({ category: FailureCategory.SYSTEM, retryable: false });
  });
});

function failed(fails: () => never): unknown {
  try {
    return fails();
  } catch (error) {
    return error;
  }
}
