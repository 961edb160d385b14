import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FailureCategory, RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import {
  AcceptedSchema,
  AttemptFailedSchema,
  FailureSchema,
  RecoveryActedSchema,
  type RunEvent,
  RunEventSchema,
  RunMode,
  RunState,
  RunStatisticsSchema,
  WakeCause,
} from "../../gen/retake/v1/run_pb.js";
import {
  allowsEvent,
  applyEvent as applied,
  IllegalEventError,
  isTerminal,
  type RunEventKind,
  type RunRecord,
  reduceRun,
} from "../../src/runs/run-record.ts";
import { durationFromMs, timestampFromMs } from "../../src/runs/time.ts";

type Body = Exclude<NonNullable<MessageInitShape<typeof RunEventSchema>["event"]>, { case: undefined }>;

const failure = create(FailureSchema, { code: 14, reason: "X", retryable: true });
const interrupted = create(FailureSchema, { code: 14, reason: "INTERRUPTED" });

/** One body for each kind, that fits whatever run it meets. */
const bodies: Record<Exclude<RunEventKind, "accepted">, (run: RunRecord) => Body> = {
  attemptStarted: (run) => ({
    case: "attemptStarted",
    value: { attempt: run.attempts + 1, token: `t${run.attempts + 1}`, endpoint: "in-process", quality: 5 },
  }),
  attemptCheckpoint: (run) => ({
    case: "attemptCheckpoint",
    value: { attempt: run.attempts, handle: new Uint8Array([1]) },
  }),
  progressSampled: (run) => ({
    case: "progressSampled",
    value: { attempt: run.attempts, progress: { fraction: 0.5 } },
  }),
  updateRecorded: (run) => ({
    case: "updateRecorded",
    value: { attempt: run.attempts, update: { typeName: "a.B", size: 1n } },
  }),
  faultInjected: (run) => ({
    case: "faultInjected",
    value: { attempt: run.attempts, faultId: "f", effect: "status UNAVAILABLE" },
  }),
  stepCompleted: (run) => ({
    case: "stepCompleted",
    value: { name: `s${run.steps.size}`, result: { typeName: "a.B" }, tries: 1 },
  }),
  childStarted: (run) => ({
    case: "childStarted",
    value: { name: `c${run.children.size}`, childRunId: "id", workflow: "a.B/C" },
  }),
  childEnded: () => ({ case: "childEnded", value: { name: "c0", state: RunState.SUCCEEDED } }),
  attemptFailed: (run) => ({
    case: "attemptFailed",
    value: { attempt: run.attempts, failure, counted: true, executionTime: durationFromMs(10) },
  }),
  recoveryActed: () => ({ case: "recoveryActed", value: { action: 1, endpoint: "x" } }),
  fallbackSkipped: () => ({ case: "fallbackSkipped", value: { workflow: "a.B/D", reason: "no" } }),
  retryScheduled: () => ({ case: "retryScheduled", value: { wakeAt: timestampFromMs(5_000), reason: "again" } }),
  parked: () => ({ case: "parked", value: { gate: "breaker", reason: "open" } }),
  woken: () => ({ case: "woken", value: { cause: WakeCause.TIMER } }),
  fallbackStarted: () => ({ case: "fallbackStarted", value: { index: 0, workflow: "a.B/D", childRunId: "id" } }),
  fallbackEnded: () => ({ case: "fallbackEnded", value: { index: 0, failure } }),
  orphaned: () => ({ case: "orphaned", value: { graceUntil: timestampFromMs(60_000) } }),
  rejoined: () => ({ case: "rejoined", value: {} }),
  cancelRequested: () => ({ case: "cancelRequested", value: { requestedBy: "me", reason: "enough" } }),
  succeeded: (run) => ({
    case: "succeeded",
    value: { result: { typeName: "a.B" }, statistics: create(RunStatisticsSchema, { attempts: run.attempts }) },
  }),
  failed: () => ({ case: "failed", value: { failure } }),
  cancelled: () => ({ case: "cancelled", value: { reason: "enough", acknowledged: true } }),
  expired: () => ({ case: "expired", value: {} }),
};

const kinds = Object.keys(bodies) as Exclude<RunEventKind, "accepted">[];

function accepted(mode = RunMode.DETACHED): RunEvent {
  return create(RunEventSchema, {
    sequence: 1n,
    time: timestampFromMs(1_000),
    event: {
      case: "accepted",
      value: create(AcceptedSchema, {
        runId: "r",
        workflow: "a.B/C",
        mode,
        deadline: timestampFromMs(100_000),
      }),
    },
  });
}

function eventOf(run: RunRecord, body: Body, timeMs = run.lastEventMs + 10): RunEvent {
  return create(RunEventSchema, { sequence: BigInt(run.lastSequence + 1), time: timestampFromMs(timeMs), event: body });
}

/** A run after these kinds of events, ten ms apart. */
function runAfter(mode: RunMode, ...path: readonly Exclude<RunEventKind, "accepted">[]): RunRecord {
  const events = [accepted(mode)];
  for (const kind of path) {
    const run = reduce(events);
    events.push(eventOf(run, bodies[kind](run)));
  }
  return reduce(events);
}

function reduce(events: readonly RunEvent[]): RunRecord {
  const run = reduceRun(events);
  if (run === undefined) throw new Error("no run");
  return run;
}

const keyed = RunMode.ATTACHED_KEYED;

/** One way into each state; RUNNING and QUEUED stand for themselves. */
const ways: Record<string, readonly Exclude<RunEventKind, "accepted">[]> = {
  QUEUED: [],
  RUNNING: ["attemptStarted"],
  BACKING_OFF: ["attemptStarted", "attemptFailed", "retryScheduled"],
  PARKED: ["parked"],
  DELEGATED: ["fallbackStarted"],
  CANCELLING: ["attemptStarted", "cancelRequested"],
  SUCCEEDED: ["attemptStarted", "succeeded"],
  FAILED: ["attemptStarted", "attemptFailed", "failed"],
  CANCELLED: ["cancelRequested", "cancelled"],
  EXPIRED: ["expired"],
};

/** The table of the design: where each event is allowed for a keyed run that came that way, and where it leads. */
const table: Record<Exclude<RunEventKind, "accepted">, Record<string, string>> = {
  attemptStarted: { QUEUED: "RUNNING" },
  attemptCheckpoint: { RUNNING: "RUNNING" },
  progressSampled: { RUNNING: "RUNNING" },
  updateRecorded: { RUNNING: "RUNNING" },
  faultInjected: { RUNNING: "RUNNING" },
  stepCompleted: { RUNNING: "RUNNING" },
  childStarted: { RUNNING: "RUNNING" },
  childEnded: { RUNNING: "RUNNING", CANCELLING: "CANCELLING" },
  attemptFailed: { RUNNING: "QUEUED", CANCELLING: "CANCELLING" },
  recoveryActed: { QUEUED: "QUEUED" },
  fallbackSkipped: { QUEUED: "QUEUED" },
  retryScheduled: { QUEUED: "BACKING_OFF" },
  parked: { QUEUED: "PARKED" },
  woken: { BACKING_OFF: "QUEUED", PARKED: "QUEUED" },
  fallbackStarted: { QUEUED: "DELEGATED" },
  fallbackEnded: { DELEGATED: "QUEUED" },
  orphaned: {
    QUEUED: "QUEUED",
    RUNNING: "RUNNING",
    BACKING_OFF: "BACKING_OFF",
    PARKED: "PARKED",
    DELEGATED: "DELEGATED",
    CANCELLING: "CANCELLING",
  },
  rejoined: {},
  cancelRequested: {
    QUEUED: "CANCELLING",
    RUNNING: "CANCELLING",
    BACKING_OFF: "CANCELLING",
    PARKED: "CANCELLING",
    DELEGATED: "CANCELLING",
  },
  succeeded: { RUNNING: "SUCCEEDED", DELEGATED: "SUCCEEDED" },
  failed: { QUEUED: "FAILED" },
  cancelled: {},
  // An open attempt is closed first, so RUNNING cannot end this way at once.
  expired: { QUEUED: "EXPIRED", BACKING_OFF: "EXPIRED", PARKED: "EXPIRED", DELEGATED: "EXPIRED" },
};

describe("reduceRun", () => {
  it("knows no run without events", () => {
    expect(reduceRun([])).toBeUndefined();
  });

  it("begins QUEUED with Accepted, as event 1 and nowhere else", () => {
    expect(runAfter(keyed).state).toBe(RunState.QUEUED);
    const run = runAfter(keyed);
    expect(allowsEvent(run, "accepted")).toBe(false);
    expect(() => reduceRun([eventOf(run, bodies.expired(run))])).toThrow(IllegalEventError);
  });

  for (const [state, way] of Object.entries(ways)) {
    for (const kind of kinds) {
      const next = table[kind][state];
      it(`${next === undefined ? "refuses" : "takes"} ${kind} in ${state}${next === undefined ? "" : ` and is ${next} then`}`, () => {
        const run = runAfter(keyed, ...way);
        expect(RunState[run.state]).toBe(state);
        expect(allowsEvent(run, kind)).toBe(next !== undefined);
        if (next === undefined) {
          const before = structuredClone(run);
          const attempt = () => reduceAgain(run, kind);
          expect(attempt).toThrow(IllegalEventError);
          expect(run).toEqual(before);
        } else {
          expect(RunState[reduceAgain(run, kind).state]).toBe(next);
        }
      });
    }
  }

  it("refuses a number that leaves a gap or comes twice", () => {
    const first = accepted();
    const run = reduce([first]);
    const started = eventOf(run, bodies.attemptStarted(run));
    for (const sequence of [1n, 3n]) {
      expect(() => reduceRun([first, { ...started, sequence }])).toThrow(IllegalEventError);
    }
  });

  it("closes every attempt before the run ends", () => {
    const cancelling = runAfter(keyed, "attemptStarted", "cancelRequested");
    expect(allowsEvent(cancelling, "cancelled")).toBe(false);
    expect(allowsEvent(cancelling, "attemptFailed")).toBe(true);
    const closed = runAfter(keyed, "attemptStarted", "cancelRequested", "attemptFailed");
    expect(allowsEvent(closed, "cancelled")).toBe(true);
    expect(allowsEvent(closed, "attemptFailed")).toBe(false);
  });

  it("orphans and rejoins keyed attached runs, one after the other, and no others", () => {
    expect(allowsEvent(runAfter(RunMode.DETACHED, "attemptStarted"), "orphaned")).toBe(false);
    expect(allowsEvent(runAfter(RunMode.ATTACHED, "attemptStarted"), "orphaned")).toBe(false);
    const orphan = runAfter(keyed, "attemptStarted", "orphaned");
    expect(orphan.orphanedUntilMs).toBe(60_000);
    expect(allowsEvent(orphan, "orphaned")).toBe(false);
    expect(runAfter(keyed, "attemptStarted", "orphaned", "rejoined").orphanedUntilMs).toBeUndefined();
  });

  it("counts attempts, retries and interruptions apart", () => {
    const run = runAfter(keyed, "attemptStarted", "attemptFailed", "retryScheduled", "woken", "attemptStarted");
    expect(run).toMatchObject({ attempts: 2, retries: 1, countedFailures: 1, interruptions: 0 });
    const lost = reduce([
      accepted(),
      ...eventsOf(["attemptStarted"]),
      create(RunEventSchema, {
        sequence: 3n,
        time: timestampFromMs(2_000),
        event: { case: "attemptFailed", value: { attempt: 1, failure: interrupted, counted: false } },
      }),
    ]);
    expect(lost).toMatchObject({ attempts: 1, countedFailures: 0, interruptions: 1, interruptionsInRow: 1 });
  });

  it("forgets interruptions in a row with a new step or checkpoint", () => {
    for (const kind of ["stepCompleted", "attemptCheckpoint"] as const) {
      const run = runAfter(keyed, "attemptStarted");
      run.interruptionsInRow = 3;
      expect(reduceAgain(run, kind).interruptionsInRow).toBe(0);
    }
  });

  it("keeps a failed attempt, and what was done to recover from it, until the next one", () => {
    const failed = runAfter(keyed, "attemptStarted", "attemptFailed", "recoveryActed");
    expect(failed.failedAttempt).toMatchObject({ number: 1, failure, recoveries: [1] });
    expect(reduceAgain(failed, "attemptStarted").failedAttempt).toBeUndefined();
    const lost = runAfter(keyed, "attemptStarted");
    const value = create(AttemptFailedSchema, { attempt: 1, failure: interrupted, counted: false });
    applied(lost, eventOf(lost, { case: "attemptFailed", value }));
    expect(lost.failedAttempt).toBeUndefined();
  });

  it("avoids an endpoint from a switch that helped to the next attempt", () => {
    const acted = (error: string): RunRecord => {
      const run = runAfter(keyed, "attemptStarted", "attemptFailed");
      const value = create(RecoveryActedSchema, { action: RecoveryAction.SWITCH_ENDPOINT, endpoint: "gpu:1", error });
      return applied(run, eventOf(run, { case: "recoveryActed", value }));
    };
    expect(acted("no other one").avoidedEndpoint).toBeUndefined();
    const run = acted("");
    expect(run.avoidedEndpoint).toBe("gpu:1");
    expect(reduceAgain(run, "attemptStarted").avoidedEndpoint).toBeUndefined();
  });

  it("adds up the time it was queued and the time its attempts took", () => {
    const run = runAfter(keyed, "attemptStarted", "attemptFailed", "retryScheduled", "woken", "attemptStarted");
    // 1,000 → started at 1,010; failed 1,020; waits from 1,030; woken 1,040; started 1,050.
    expect(run.queueMs).toBeCloseTo(10 + 10 + 10);
    expect(run.executionMs).toBeCloseTo(10);
    expect(run.startTimeMs).toBeCloseTo(1_010);
  });

  it("does not count a wall clock that went back as negative time", () => {
    const run = runAfter(keyed);
    expect(reduceAgain(run, "attemptStarted", 500).queueMs).toBe(0);
  });

  it("is a pure function of its events, gapless, and ends for good", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(RunMode.ATTACHED, RunMode.ATTACHED_KEYED, RunMode.DETACHED),
        fc.array(fc.nat(), { maxLength: 60 }),
        (mode, choices) => {
          const events = [accepted(mode)];
          let run = reduce(events);
          for (const choice of choices) {
            const allowed = kinds.filter((kind) => allowsEvent(run, kind));
            expect(isTerminal(run.state)).toBe(allowed.length === 0);
            const kind = allowed[choice % allowed.length];
            if (kind === undefined) break;
            events.push(eventOf(run, bodies[kind](run)));
            run = reduce(events);
            expect(run.lastSequence).toBe(events.length);
          }
          expect(reduce(events)).toEqual(run);
          const starts = events.filter(({ event }) => event.case === "attemptStarted").length;
          const ends = events.filter(({ event }) => event.case === "attemptFailed").length;
          const succeeded = events.some(({ event }) => event.case === "succeeded");
          expect(run.attempts).toBe(starts);
          // Every attempt is closed exactly once: by AttemptFailed or Succeeded.
          expect(starts - ends).toBe(run.attempt === undefined ? (succeeded && starts > ends ? 1 : 0) : 1);
        },
      ),
    );
  });
});

function reduceAgain(run: RunRecord, kind: Exclude<RunEventKind, "accepted">, timeMs?: number): RunRecord {
  return applied(run, eventOf(run, bodies[kind](run), timeMs));
}

function eventsOf(path: readonly Exclude<RunEventKind, "accepted">[]): RunEvent[] {
  const events = [accepted()];
  for (const kind of path) {
    const run = reduce(events);
    events.push(eventOf(run, bodies[kind](run)));
  }
  return events.slice(1);
}

describe("running out of memory", () => {
  it("is remembered at the lowest quality at which it happened", () => {
    const memory = create(FailureSchema, { code: 8, category: FailureCategory.MEMORY });
    const started = (attempt: number, quality: number): Body => ({
      case: "attemptStarted",
      value: { attempt, token: `t${attempt}`, quality },
    });
    const ended = (attempt: number, how = memory): Body => ({
      case: "attemptFailed",
      value: { attempt, failure: how, counted: true },
    });
    const run = reduce([accepted()]);
    const qualities = [started(1, 4), ended(1), started(2, 3), ended(2, failure), started(3, 5), ended(3)].map(
      (body) => {
        applied(run, eventOf(run, body));
        return run.outOfMemoryAt;
      },
    );
    expect(qualities).toEqual([0, 4, 4, 4, 4, 4]);
    applied(run, eventOf(run, started(4, 2)));
    applied(run, eventOf(run, ended(4)));
    expect(run.outOfMemoryAt).toBe(2);
  });
});
