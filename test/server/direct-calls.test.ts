import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { FailureSchema, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import { deferred, eventsOf, type Harness, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";

async function start(...args: Parameters<typeof startServer>): Promise<Harness> {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return harness;
}

/** Calls, and tells the run's id beside the answer. */
async function plain(harness: Harness, text: string, headers: Record<string, string> = {}) {
  let runId = "";
  const answer = await harness.workflows.plain(
    { text },
    { headers, onHeader: (header) => (runId = header.get("retake-run-id") ?? "") },
  );
  return { answer, runId };
}

describe("a direct unary call", () => {
  it("answers what its handler returns, and its journal tells three events", async () => {
    const harness = await start({ plain: ({ text }) => ({ text: text.toUpperCase() }) });
    const { answer, runId } = await plain(harness, "hello");
    expect(answer.text).toBe("HELLO");
    const events = await eventsOf(harness, runId);
    expect(kindsOf(events)).toEqual(["accepted", "attemptStarted", "succeeded"]);
    expect(events.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n]);
  });

  it("tells the run in headers and trailers, which arrive with the response", async () => {
    const harness = await start();
    let trailer = new Headers();
    let header = new Headers();
    await harness.workflows.plain({}, { onHeader: (h) => (header = h), onTrailer: (t) => (trailer = t) });
    expect(trailer.get("retake-run-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(header.get("retake-run-id")).toBe(trailer.get("retake-run-id"));
  });

  it("gives the run's statistics: execution time is measured and not zero", async () => {
    const gate = deferred();
    const harness = await start({
      plain: async () => {
        await gate.promise;
        return {};
      },
    });
    const call = plain(harness, "x");
    await harness.clock.advance(1500);
    gate.resolve();
    const { runId } = await call;
    const { run } = await harness.runs.getRun({ runId });
    expect(run?.state).toBe(RunState.SUCCEEDED);
    expect(run?.mode).toBe(RunMode.ATTACHED);
    expect(run?.statistics).toMatchObject({ attempts: 1, retries: 0, interruptions: 0, steps: 0 });
    expect(run?.statistics?.executionTime).toMatchObject({ seconds: 1n, nanos: 500_000_000 });
  });

  it("gives the handler an input of its own for each attempt", async () => {
    const seen: number[] = [];
    const harness = await start({
      flaky: (request, context) => {
        seen.push(request.failures);
        request.failures = 99;
        if (context.run.attempt < 3) throw unavailable();
        return { attempts: context.run.attempt };
      },
    });
    const call = harness.workflows.flaky({ failures: 7 });
    await harness.clock.advance(60_000);
    expect((await call).attempts).toBe(3);
    expect(seen).toEqual([7, 7, 7]);
  });

  it("fails with the handler's ConnectError and carries the Failure", async () => {
    const harness = await start({
      plain: () => {
        throw notFound("no such model");
      },
    });
    const error = await rejection(harness.workflows.plain({}), Code.NotFound);
    expect(error.rawMessage).toBe("no such model");
    const [failure] = error.findDetails(FailureSchema);
    expect(failure).toMatchObject({ code: Code.NotFound, retryable: false, reason: "NOT_FOUND" });
    expect(error.metadata.get("grpc-retry-pushback-ms")).toBe("-1");
    expect(error.metadata.get("retake-run-id")).toMatch(/-7/);
  });

  it("hides what a handler throws unexpectedly behind a reference id, and logs it", async () => {
    const logged: object[] = [];
    const log = { debug() {}, info() {}, warn() {}, error: (fields: object) => logged.push(fields) };
    for (const thrown of [new Error("secret password"), "secret string", undefined, null, 42, { secret: 1 }]) {
      logged.length = 0;
      const harness = await start(
        {
          plain: () => {
            throw thrown;
          },
        },
        { log: log as never },
      );
      const error = await rejection(harness.workflows.plain({}), Code.Internal);
      const [failure] = error.findDetails(FailureSchema);
      expect(failure?.referenceId).toMatch(/^[0-9a-f-]{36}$/);
      expect(error.message).not.toContain("secret");
      expect(error.message).toContain(failure?.referenceId);
      expect(logged).toContainEqual(expect.objectContaining({ err: thrown, referenceId: failure?.referenceId }));
    }
  });

  for (const [what, value] of [
    ["nothing", undefined],
    ["null", null],
    ["a number", 7],
    ["a list", []],
    ["another message", { $typeName: "retake.test.v1.KeyedResponse", text: "" }],
  ] as const) {
    it(`fails INTERNAL when its handler answers ${what}`, async () => {
      const harness = await start({ plain: () => value as never });
      const error = await rejection(harness.workflows.plain({}), Code.Internal);
      expect(error.rawMessage).toMatch(/Plain answered .* where its contract says retake\.test\.v1\.PlainResponse/);
    });
  }

  it("cancels its run when the caller leaves, and the handler hears of it", async () => {
    const started = deferred();
    const aborted = deferred<unknown>();
    const harness = await start({
      plain: (_, context) =>
        new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => {
            aborted.resolve(context.signal.reason);
            reject(context.signal.reason);
          });
          started.resolve();
        }),
    });
    const leave = new AbortController();
    const call = rejection(harness.workflows.plain({}, { signal: leave.signal }), Code.Canceled);
    await started.promise;
    leave.abort();
    await call;
    expect(String(await aborted.promise)).toContain("CALLER_LOST");
    await harness.clock.advance(0);
    const { runs } = await harness.runs.listRuns({});
    expect(runs[0]?.state).toBe(RunState.CANCELLED);
    expect(kindsOf(await eventsOf(harness, runs[0]?.runId ?? ""))).toEqual([
      "accepted",
      "attemptStarted",
      "cancelRequested",
      "attemptFailed",
      "cancelled",
    ]);
  });

  it("ends its run when the call's own deadline passes, since nobody is left", async () => {
    const harness = await start({ plain: () => new Promise(() => {}) });
    const call = rejection(harness.workflows.plain({}, { timeoutMs: 500 }), Code.DeadlineExceeded);
    await harness.clock.advance(500);
    await call;
    await harness.clock.advance(30_000);
    const { runs } = await harness.runs.listRuns({});
    expect(runs[0]).toMatchObject({ state: RunState.CANCELLED, cancelReason: "CALLER_LOST" });
  });

  it("goes on without its caller when detached", async () => {
    const gate = deferred();
    const harness = await start({
      plain: async () => {
        await gate.promise;
        return { text: "done" };
      },
    });
    const leave = new AbortController();
    const call = rejection(
      harness.workflows.plain({}, { signal: leave.signal, headers: { "retake-detach": "true" } }),
      Code.Canceled,
    );
    await harness.clock.advance(10);
    leave.abort();
    await call;
    const { runs } = await harness.runs.listRuns({});
    expect(runs[0]).toMatchObject({ state: RunState.RUNNING, mode: RunMode.DETACHED });
    gate.resolve();
    await harness.clock.advance(0);
    expect(await stateOf(harness, runs[0]?.runId ?? "")).toBe(RunState.SUCCEEDED);
  });

  it("refuses a retake-detach that is neither true nor false", async () => {
    const harness = await start();
    await rejection(harness.workflows.plain({}, { headers: { "retake-detach": "yes" } }), Code.InvalidArgument);
  });

  it("forwards metadata by the policy's list alone", async () => {
    const harness = await start({
      forwarding: (_, context) => ({ metadata: Object.fromEntries(context.requestHeader) }),
    });
    const admin = createClient(AdminService, harness.server.transport);
    const { key } = await admin.createApiKey({ subject: "ana", level: AccessLevel.ADMIN });
    const answer = await harness.workflows.forwarding(
      {},
      { headers: { "x-studio": "north", "x-other": "no", authorization: `Bearer ${key}`, "x-api-key": key } },
    );
    expect(answer.metadata).toEqual({ "x-studio": "north" });
  });

  it("keeps the caller's trace", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const harness = await start({ plain: (_, context) => ({ text: context.run.traceparent }) });
    expect((await plain(harness, "", { traceparent })).answer.text).toBe(traceparent);
    expect((await plain(harness, "", { traceparent: "nonsense" })).answer.text).toBe("");
  });
});

describe("a keyed call", () => {
  const key = { "idempotency-key": "k1" };

  it("answers again what a succeeded run answered, without executing it", async () => {
    let executed = 0;
    const harness = await start({ plain: () => ({ text: `${++executed}` }) });
    const first = await plain(harness, "a", key);
    const second = await plain(harness, "a", key);
    expect(second).toEqual(first);
    expect(executed).toBe(1);
  });

  it("takes the key from the marked field, and both places must agree", async () => {
    const harness = await start();
    await harness.workflows.keyed({ requestId: "r1", text: "a" });
    const { runs } = await harness.runs.listRuns({});
    expect(runs[0]?.idempotencyKey).toBe("r1");
    await harness.workflows.keyed({ requestId: "r1", text: "a" }, { headers: { "idempotency-key": "r1" } });
    await rejection(
      harness.workflows.keyed({ requestId: "r1" }, { headers: { "idempotency-key": "r2" } }),
      Code.InvalidArgument,
    );
  });

  it("joins an open run: all callers get the one result", async () => {
    const gate = deferred();
    let executed = 0;
    const harness = await start({
      plain: async () => {
        executed += 1;
        await gate.promise;
        return { text: "one" };
      },
    });
    const calls = Array.from({ length: 20 }, () => plain(harness, "a", key));
    await harness.clock.advance(10);
    gate.resolve();
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(({ runId }) => runId)).size).toBe(1);
    expect(executed).toBe(1);
  });

  it("refuses the key for another input, open or ended", async () => {
    const harness = await start();
    const { runId } = await plain(harness, "a", key);
    const error = await rejection(harness.workflows.plain({ text: "b" }, { headers: key }), Code.AlreadyExists);
    expect(error.rawMessage).toContain(runId);
  });

  it("keeps keys of different workflows apart", async () => {
    const harness = await start();
    await plain(harness, "a", key);
    expect((await harness.workflows.limited({ text: "b" }, { headers: key })).text).toBe("b");
  });

  it("is orphaned when its last caller leaves, and rejoined by the next", async () => {
    const gate = deferred();
    const harness = await start({
      plain: async () => {
        await gate.promise;
        return { text: "late" };
      },
    });
    const leave = new AbortController();
    const first = rejection(harness.workflows.plain({}, { headers: key, signal: leave.signal }), Code.Canceled);
    await harness.clock.advance(10);
    leave.abort();
    await first;
    await harness.clock.advance(59_000);
    const second = plain(harness, "", key);
    await harness.clock.advance(10_000);
    gate.resolve();
    const { answer, runId } = await second;
    expect(answer.text).toBe("late");
    expect(kindsOf(await eventsOf(harness, runId))).toEqual([
      "accepted",
      "attemptStarted",
      "orphaned",
      "rejoined",
      "succeeded",
    ]);
  });

  it("is cancelled when nobody has come back within caller_grace", async () => {
    const harness = await start({
      plain: (_, context) =>
        new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => reject(context.signal.reason));
        }),
    });
    const leave = new AbortController();
    const first = rejection(harness.workflows.plain({}, { headers: key, signal: leave.signal }), Code.Canceled);
    await harness.clock.advance(10);
    leave.abort();
    await first;
    await harness.clock.advance(59_990);
    const { runs } = await harness.runs.listRuns({});
    const runId = runs[0]?.runId ?? "";
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    await harness.clock.advance(20);
    expect((await harness.runs.getRun({ runId })).run).toMatchObject({
      state: RunState.CANCELLED,
      cancelReason: "CALLER_LOST",
    });
  });

  it("is cancelled then, too, when it was retaken meanwhile", async () => {
    const harness = await start({
      flaky: async (_, context) => {
        if (context.run.attempt === 1) throw new ConnectError("away", Code.Unavailable);
        return new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => reject(context.signal.reason));
        });
      },
    });
    const leave = new AbortController();
    const first = rejection(harness.workflows.flaky({}, { headers: key, signal: leave.signal }), Code.Canceled);
    await harness.clock.advance(10);
    leave.abort();
    await first;
    await harness.clock.advance(59_990);
    const { runs } = await harness.runs.listRuns({});
    expect(runs[0]).toMatchObject({ state: RunState.RUNNING, statistics: { attempts: 2 } });
    await harness.clock.advance(20);
    expect(await stateOf(harness, runs[0]?.runId ?? "")).toBe(RunState.CANCELLED);
  });

  it("is given the whole grace anew when a caller has come back and left again", async () => {
    const harness = await start({
      plain: (_, context) =>
        new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => reject(context.signal.reason));
        }),
    });
    for (let visit = 0; visit < 2; visit++) {
      const leave = new AbortController();
      const call = rejection(harness.workflows.plain({}, { headers: key, signal: leave.signal }), Code.Canceled);
      await harness.clock.advance(10);
      leave.abort();
      await call;
      await harness.clock.advance(visit === 0 ? 30_000 : 59_980);
    }
    const { runs } = await harness.runs.listRuns({});
    expect(runs).toMatchObject([{ state: RunState.RUNNING }]);
    await harness.clock.advance(20);
    expect(await stateOf(harness, runs[0]?.runId ?? "")).toBe(RunState.CANCELLED);
  });

  it("is joined also where the clock has been set back since the run that it took over from", async () => {
    const harness = await start({ plain: () => new Promise(() => {}) });
    const cancelled = rejection(harness.workflows.plain({}, { headers: key }), Code.Canceled);
    await harness.clock.advance(10);
    const before = (await harness.runs.listRuns({})).runs[0]?.runId ?? "";
    await harness.runs.cancelRun({ runId: before });
    await harness.clock.advance(30_000);
    await cancelled;
    harness.clock.jump(-3_600_000);
    for (let caller = 0; caller < 2; caller++) {
      const call = rejection(harness.workflows.plain({}, { headers: key, timeoutMs: 100 }), Code.DeadlineExceeded);
      await harness.clock.advance(100);
      await call;
    }
    const { runs } = await harness.runs.listRuns({});
    expect(runs).toMatchObject([{ state: RunState.RUNNING, rerunOf: before }, { runId: before }]);
  });

  it("starts anew after a cancellation, as a rerun", async () => {
    const harness = await start({ plain: () => new Promise(() => {}) });
    const first = rejection(harness.workflows.plain({}, { headers: key }), Code.Canceled);
    await harness.clock.advance(10);
    const { runs } = await harness.runs.listRuns({});
    const before = runs[0]?.runId ?? "";
    await harness.runs.cancelRun({ runId: before, reason: "wrong film" });
    await harness.clock.advance(30_000);
    await first;
    const second = rejection(harness.workflows.plain({}, { headers: key, timeoutMs: 100 }), Code.DeadlineExceeded);
    await harness.clock.advance(100);
    await second;
    const again = await harness.runs.listRuns({});
    expect(again.runs[0]).toMatchObject({ rerunOf: before, idempotencyKey: "k1" });
  });

  it("answers a failure for good again, and retries one that may mend after its delay", async () => {
    let failing: () => never = () => {
      throw notFound("gone");
    };
    const harness = await start({ plain: () => failing() });
    const first = await rejection(harness.workflows.plain({}, { headers: key }), Code.NotFound);
    const again = await rejection(harness.workflows.plain({}, { headers: key }), Code.NotFound);
    expect(again.metadata.get("retake-run-id")).toBe(first.metadata.get("retake-run-id"));

    failing = () => {
      throw unavailable();
    };
    const other = { "idempotency-key": "k2" };
    const mending = await rejection(harness.workflows.plain({}, { headers: other }), Code.Unavailable);
    const delayMs = Number(mending.metadata.get("grpc-retry-pushback-ms"));
    expect(delayMs).toBe(1000);
    const early = await rejection(harness.workflows.plain({}, { headers: other }), Code.Unavailable);
    expect(early.metadata.get("retake-run-id")).toBe(mending.metadata.get("retake-run-id"));
    await harness.clock.advance(delayMs);
    const late = await rejection(harness.workflows.plain({}, { headers: other }), Code.Unavailable);
    expect(late.metadata.get("retake-run-id")).not.toBe(mending.metadata.get("retake-run-id"));
  });
});

function unavailable(): ConnectError {
  return new ConnectError("back-end away", Code.Unavailable);
}

function notFound(message: string): ConnectError {
  return new ConnectError(message, Code.NotFound);
}
