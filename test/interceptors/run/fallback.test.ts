import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AcceptedSchema, type FallbackStarted, RunState } from "../../../gen/retake/v1/run_pb.js";
import type { Workflow } from "../../../src/contract/index.ts";
import { fallback } from "../../../src/interceptors/run/index.ts";
import {
  createFailure,
  type DelegationPlan,
  type DelegationStatus,
  type EndpointSlots,
  type Outcome,
  type RunEventBody,
  type RunRequest,
} from "../../../src/runs/index.ts";
import { acceptedRun, applyNext, type RunRecord } from "../../../src/runs/run-record.ts";

const ready: DelegationPlan = { kind: "ready", childRunId: "child", converter: "by-hand" };
const unfit: DelegationPlan = { kind: "unfit", reason: "too long" };
const unreadable: DelegationPlan = { kind: "blocked", gate: "fallback", reason: "the disk hangs", notBeforeMs: 7 };
const breakerOpen: Outcome = { kind: "blocked", gate: "breaker", reason: "it failed 5 times of 5", notBeforeMs: 9 };
const broken = createFailure({ code: Code.Internal, reason: "BROKEN", message: "it broke" });

interface Scene {
  readonly fallbacks?: readonly string[];
  /** What the stages below come to. */
  readonly outcome?: Outcome;
  readonly plans?: Readonly<Record<string, DelegationPlan>>;
  readonly status?: DelegationStatus;
  readonly endpoints?: readonly Partial<EndpointSlots>[];
  readonly depth?: number;
  /** What has happened before. */
  readonly before?: readonly RunEventBody[];
  readonly during?: (run: RunRecord) => void;
}

/** What the stage makes of a run, and what it did to get there. */
async function play(scene: Scene) {
  const { fallbacks = ["a.B/C", "a.B/D"], outcome = breakerOpen, before = [], depth = 0 } = scene;
  const run = acceptedRun(create(AcceptedSchema, { runId: "run", workflow: "a.B/A", fallbackDepth: depth }), 0);
  const did: string[] = [];
  for (const body of before) applyNext(run, body, 1);
  const stage = fallback({
    delegation: {
      plan: async (_, name) => {
        did.push(`plan ${name}`);
        return scene.plans?.[name] ?? ready;
      },
      status: async (_, { workflow }: FallbackStarted) => {
        did.push(`status ${workflow}`);
        return scene.status ?? { kind: "working" };
      },
    },
    withdraw: (runId) => did.push(`withdraw ${runId}`),
    endpoints: () => (scene.endpoints ?? []) as EndpointSlots[],
  });
  const request = {
    run,
    workflow: { policy: { fallbacks, maxInterruptions: 3 } } as unknown as Workflow,
    turn: {
      concluded: false,
      prepare: (bodies: readonly RunEventBody[]) => {
        for (const body of bodies) {
          did.push(`prepare ${body.case}`);
          applyNext(run, body, 1);
        }
      },
    },
  } as unknown as RunRequest;
  const answer = await stage(async () => {
    did.push("next");
    scene.during?.(run);
    return outcome;
  })(request);
  return { answer, did, run };
}

const started = (workflow: string, index: number, failure: typeof broken | "none" = broken): RunEventBody => ({
  case: "fallbackStarted",
  value: {
    $typeName: "retake.v1.FallbackStarted",
    index,
    workflow,
    childRunId: "child",
    converter: "",
    reason: "BROKEN: it broke",
    ...(failure === "none" ? {} : { failure }),
  },
});
const kindsOf = (outcome: Outcome) => ("events" in outcome ? outcome.events?.map((body) => body.case) : undefined);

describe("the fallback stage", () => {
  it("is not there for a workflow without fallbacks", async () => {
    const { answer, did } = await play({ fallbacks: [] });
    expect([answer, did]).toEqual([breakerOpen, ["next"]]);
  });

  it("goes to the next fallback at once when the breaker is open, and out of every line", async () => {
    const { answer, did } = await play({});
    expect(did).toEqual(["next", "plan a.B/C", "withdraw run"]);
    expect(answer).toMatchObject({
      kind: "waiting",
      events: [
        {
          value: { workflow: "a.B/C", index: 0, reason: "BREAKER_OPEN: it failed 5 times of 5", converter: "by-hand" },
        },
      ],
    });
    expect(answer).not.toHaveProperty("events[0].value.failure");
  });

  it("passes the open breaker on when none is left, with those that were passed over", async () => {
    const { answer, did } = await play({ plans: { "a.B/C": unfit, "a.B/D": unfit } });
    expect(answer).toBe(breakerOpen);
    expect(did.slice(-2)).toEqual(["prepare fallbackSkipped", "prepare fallbackSkipped"]);
    const { answer: later } = await play({
      before: [started("a.B/C", 0), ended(0), started("a.B/D", 1, "none"), ended(1)],
    });
    expect(later.kind).toBe("failed");
  });

  it("passes nobody over because the run's input cannot be read right now, but comes back", async () => {
    const plans = { "a.B/C": unfit, "a.B/D": unreadable };
    const heldBack = await play({ plans });
    expect(heldBack.answer).toBe(unreadable);
    expect(heldBack.did.slice(-1)).toEqual(["prepare fallbackSkipped"]);
    const before = [started("a.B/C", 0)];
    const givenUp = await play({ before, plans, status: { kind: "failed", failure: broken } });
    expect(givenUp.answer).toBe(unreadable);
    // The end of a fallback is not journaled without what follows it.
    expect(givenUp.did).toEqual(["status a.B/C", "plan a.B/D"]);
    expect(givenUp.run).toMatchObject({ state: RunState.DELEGATED, givenUp: broken });
  });

  it("lets a run that was only held back go on when its fallbacks have not helped", async () => {
    const before = [started("a.B/C", 0, "none"), ended(0), started("a.B/D", 1, "none")];
    const { answer, did } = await play({ before, status: { kind: "failed", failure: broken } });
    expect(did).toEqual(["status a.B/D", "prepare fallbackEnded", "next"]);
    expect(answer).toBe(breakerOpen);
  });

  it("does the same when none of the endpoints is healthy, but waits for those that are busy", async () => {
    const outcome: Outcome = { kind: "blocked", gate: "endpoint", reason: "all are busy" };
    const busy = { endpoint: "one", slots: 1 };
    const away = { endpoint: "two", slots: 0, unhealthy: true };
    expect((await play({ outcome, endpoints: [busy, away] })).answer).toBe(outcome);
    expect((await play({ outcome, endpoints: [{ endpoint: "unprobed", slots: 0 }] })).answer).toBe(outcome);
    const { answer } = await play({ outcome, endpoints: [away, away] });
    expect(answer).toMatchObject({ events: [{ value: { reason: "NO_ENDPOINT: none of its endpoints is healthy" } }] });
    // A limit that is full as well is told first, but getting through it would not help.
    const limit: Outcome = { ...outcome, gate: "workflow" };
    expect((await play({ outcome: limit, endpoints: [busy, away] })).answer).toBe(limit);
    expect((await play({ outcome: limit, endpoints: [away] })).answer).toMatchObject({
      events: [{ value: { reason: "NO_ENDPOINT: none of its endpoints is healthy" } }],
    });
  });

  it("waits for a back-end that recovers, which no endpoint may be healthy of meanwhile", async () => {
    const outcome: Outcome = { kind: "blocked", gate: "recovery", reason: "RESTART is under way" };
    const { answer, did } = await play({ outcome, endpoints: [{ endpoint: "one", slots: 0, unhealthy: true }] });
    expect([answer, did]).toEqual([outcome, ["next"]]);
  });

  it("turns to each fallback once, also where the policy names them in another order by now", async () => {
    const before = [started("a.B/D", 1)];
    const { answer } = await play({ before, status: { kind: "failed", failure: broken } });
    expect(kindsOf(answer)).toEqual(["fallbackStarted"]);
    expect(answer).toMatchObject({
      failure: broken,
      events: [{ value: { workflow: "a.B/C", index: 0, failure: broken } }],
    });
  });

  it("asks nobody else once fallbacks have led too deep", async () => {
    const { answer, did } = await play({ depth: 4 });
    expect([answer, did]).toEqual([breakerOpen, ["next"]]);
  });

  it("waits while its fallback works, and makes its answer the run's", async () => {
    const before = [started("a.B/C", 0)];
    expect((await play({ before })).answer).toEqual({ kind: "waiting", wakeAtMs: undefined, events: [] });
    const status = { kind: "answered", result: {}, message: {}, fallback: { workflow: "a.B/C", quality: 4 } } as never;
    expect((await play({ before, status })).answer).toMatchObject({ kind: "succeeded", fallback: { quality: 4 } });
  });

  it("keeps what the stages below have to say of the attempt", async () => {
    const events: RunEventBody[] = [{ case: "recoveryActed", value: {} as never }];
    const outcome: Outcome = { kind: "failed", failure: broken, events };
    expect(kindsOf((await play({ outcome })).answer)).toEqual(["recoveryActed", "fallbackStarted"]);
    const { answer } = await play({ outcome, plans: { "a.B/C": unfit, "a.B/D": unfit } });
    expect(kindsOf(answer)).toEqual(["recoveryActed", "fallbackSkipped", "fallbackSkipped"]);
    expect(answer).toMatchObject({ kind: "failed", attemptFailure: { message: "it broke" } });
    expect(answer.kind === "failed" && answer.failure.message).toMatch(
      /^it broke \(its fallback a.B\/C was passed over/,
    );
  });

  it("asks nobody for a run that is being cancelled", async () => {
    const outcome: Outcome = { kind: "failed", failure: broken };
    const cancel = (run: RunRecord) => {
      run.state = RunState.CANCELLING;
    };
    const { answer, did } = await play({ outcome, during: cancel });
    expect([answer, did]).toEqual([outcome, ["next"]]);
  });
});

function ended(index: number): RunEventBody {
  return { case: "fallbackEnded", value: { $typeName: "retake.v1.FallbackEnded", index, failure: broken } };
}
