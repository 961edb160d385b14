import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { faults } from "../../../src/interceptors/run/index.ts";
import { createError, type Drill, type Outcome, type RunRequest, silentLogger } from "../../../src/runs/index.ts";
import { createTurn } from "./stage-turn.ts";

type Effect = NonNullable<MessageInitShape<typeof FaultSchema>["effect"]>;

const succeeded = { kind: "succeeded" } as Outcome;
const delay: Effect = { case: "delay", value: { duration: { seconds: 10n } } };
const crash: Effect = { case: "crash", value: {} };

/** The stage with one drill, which hits each attempt; without an effect there is none. */
function stageOf(effect?: Effect, drills: { readonly spend?: () => Promise<boolean>; readonly chosen?: boolean } = {}) {
  const harness = createTurn();
  const { clock, turn } = harness;
  const over = new AbortController();
  const done: string[] = [];
  const drill: Drill = {
    id: "d",
    fault: create(FaultSchema, { workflow: "a.B/C", ...(effect && { effect }) }),
    over: over.signal,
  };
  const passed: RunRequest[] = [];
  const answer = Promise.resolve(succeeded);
  const stage = faults({
    faults: {
      none: effect === undefined,
      choose: (workflow) => (workflow === "a.B/C" && drills.chosen !== false ? drill : undefined),
      spend: async (id) => {
        done.push(`spend ${id}`);
        return drills.spend?.() ?? true;
      },
      crash: () => void done.push("crash"),
    },
    clock,
    log: silentLogger,
  })((request) => {
    passed.push(request);
    return answer;
  });
  const request = {
    run: { accepted: { runId: "run", traceparent: "" } },
    workflow: { name: "a.B/C" },
    attempt: { number: 2 },
    turn,
  } as unknown as RunRequest;
  return { ...harness, over, done, passed, answer, request, enter: () => stage(request) };
}

const stop = ({ turn }: ReturnType<typeof createTurn>) => turn.abort(createError(Code.Canceled, "CANCELLED", "enough"));

describe("the faults stage", () => {
  it("hands an attempt on as it is where there is no drill, or none that hits it", () => {
    for (const { enter, answer, passed, request, events } of [stageOf(), stageOf(delay, { chosen: false })]) {
      expect(enter()).toBe(answer);
      expect(passed[0]).toBe(request);
      expect(events).toEqual([]);
    }
  });

  it.each<[Effect, string, object]>([
    [
      { case: "status", value: { code: "NOT_FOUND", message: "gone" } },
      "status NOT_FOUND",
      { code: Code.NotFound, reason: "DRILL_STATUS", message: "drill d: status NOT_FOUND: gone" },
    ],
    [{ case: "status", value: {} }, "status UNAVAILABLE", { code: Code.Unavailable, reason: "DRILL_STATUS" }],
    [
      { case: "status", value: { code: "UNAUTHENTICATED" } },
      "status UNAUTHENTICATED",
      { code: Code.Internal, category: FailureCategory.SYSTEM, reason: "DRILL_STATUS", retryable: false },
    ],
    [
      { case: "status", value: { code: "DEADLINE_EXCEEDED" } },
      "status DEADLINE_EXCEEDED",
      { code: Code.Unavailable, category: FailureCategory.NETWORK, reason: "DRILL_STATUS", retryable: true },
    ],
    [
      { case: "outOfMemory", value: {} },
      "out of memory",
      { code: Code.ResourceExhausted, category: FailureCategory.MEMORY },
    ],
  ])("fails an attempt in the place of its back-end: $case", async (effect, text, failure) => {
    const { enter, events, passed } = stageOf(effect);
    expect(await enter()).toMatchObject({ kind: "failed", failure });
    expect(events).toMatchObject([{ case: "faultInjected", value: { attempt: 2, faultId: "d", effect: text } }]);
    expect(passed).toEqual([]);
  });

  it("does nothing to an attempt before the journal says so", async () => {
    const { clock, run, enter, passed } = stageOf({ case: "abort", value: { afterMessages: 1 } });
    const durable = Promise.withResolvers<void>();
    run.durable = durable.promise;
    const outcome = enter();
    await clock.advance(0);
    expect(passed).toEqual([]);
    durable.resolve();
    await outcome;
    expect(passed).toHaveLength(1);
  });

  it.each<[Effect["case"], Effect]>([
    ["abort", { case: "abort", value: {} }],
    ["stall", { case: "stall", value: {} }],
  ])("has the back-end work whose answer it disturbs: %s", async (kind, effect) => {
    const { clock, over, enter, passed } = stageOf(effect);
    expect(await enter()).toBe(succeeded);
    const ends: string[] = [];
    passed[0]?.disturb?.unary(Promise.resolve("answer")).then(
      () => ends.push("answered"),
      ({ message }: Error) => ends.push(message),
    );
    await clock.advance(3_600_000);
    expect(ends).toEqual(kind === "abort" ? ["[unavailable] drill d: the answer broke off after 0 messages"] : []);
    over.abort();
    await clock.advance(0);
    expect(ends).toHaveLength(1);
  });

  it("calls a back-end later: by its time, or when the drill is over", async () => {
    for (const endsEarly of [false, true]) {
      const { clock, over, enter, passed } = stageOf(delay);
      const outcome = enter();
      await clock.advance(9_999);
      expect(passed).toEqual([]);
      if (endsEarly) {
        over.abort();
        await clock.advance(0);
      } else {
        await clock.advance(1);
      }
      expect(await outcome).toBe(succeeded);
      expect(clock.pendingTimers).toBe(0);
    }
  });

  it("does not call the back-end of an attempt that is stopped while it is held, or is stopped already", async () => {
    const held = stageOf(delay);
    const outcome = held.enter();
    await held.clock.advance(1_000);
    stop(held);
    expect(await outcome).toMatchObject({ kind: "failed", failure: { reason: "CANCELLED" } });
    const stopped = stageOf(delay);
    stop(stopped);
    expect(await stopped.enter()).toMatchObject({ kind: "failed", failure: { reason: "CANCELLED" } });
    expect([...held.passed, ...stopped.passed, ...stopped.events]).toEqual([]);
  });

  it("ends the process once, when the drill is durably over and the event is durable", async () => {
    const harness = stageOf(crash);
    const { clock, done, events, enter, passed } = harness;
    const outcome = enter();
    await clock.advance(0);
    expect(done).toEqual(["spend d", "crash"]);
    expect(events).toMatchObject([{ case: "faultInjected", value: { effect: "crash of the process" } }]);
    expect(passed).toEqual([]);
    stop(harness);
    expect(await outcome).toMatchObject({ kind: "failed", failure: { reason: "DRILL_CRASH" } });
  });

  it.each<[string, () => Promise<boolean>]>([
    ["has ended a process before", async () => false],
    ["cannot be ended itself", () => Promise.reject(new Error("the journal fails"))],
  ])("does nothing by a drill that %s", async (_, spend) => {
    const { enter, done, events } = stageOf(crash, { spend });
    expect(await enter()).toBe(succeeded);
    expect([done, events]).toEqual([["spend d"], []]);
  });
});
