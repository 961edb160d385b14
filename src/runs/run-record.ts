import { FailureCategory, RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type {
  Accepted,
  AttemptCheckpoint,
  CancelRequested,
  Failure,
  FallbackStarted,
  FallbackTry,
  Payload,
  Progress,
  RunEvent,
  RunWait,
} from "../../gen/retake/v1/run_pb.js";
import { RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import { isBystanders, isInterruption } from "./failure.ts";
import { fallbackTry } from "./fallback-tries.ts";
import { JournaledSteps } from "./journaled-steps.ts";
import { msFromDuration, msFromTimestamp } from "./time.ts";

/** What happened, without number and time: the oneof of a RunEvent. */
export type RunEventBody = Exclude<RunEvent["event"], { case: undefined }>;
export type RunEventKind = RunEventBody["case"];

/** A run as its journal tells it. `applyEvent` is the only writer. */
export interface RunRecord {
  readonly accepted: Accepted;
  readonly createTimeMs: number;
  readonly deadlineMs: number;
  state: RunState;
  lastSequence: number;
  /** When it came into `state`. */
  stateSinceMs: number;
  lastEventMs: number;
  startTimeMs: number | undefined;
  endTimeMs: number | undefined;

  /** Attempts started so far: the number of the newest one. */
  attempts: number;
  /** The open attempt; undefined between attempts. */
  attempt: OpenAttempt | undefined;
  /** Failed attempts that the retry policy pays for. */
  countedFailures: number;
  /** Those of them since a back-end last said how long to wait: the backoff starts anew then (gRFC A6). */
  failuresSinceDelay: number;
  /** Attempts that followed a counted failure. */
  retries: number;
  interruptions: number;
  /** Interruptions since the last step, checkpoint or counted failure, but for those that another run has caused. */
  interruptionsInRow: number;
  executionMs: number;
  queueMs: number;

  /** The newest attempt, when it has failed by itself and nothing has followed it yet. */
  failedAttempt: FailedAttempt | undefined;
  /** The endpoint that the next attempt is not to be made at, where there is another one. */
  avoidedEndpoint: string | undefined;
  /** The newest checkpoint, of whichever attempt. */
  checkpoint: AttemptCheckpoint | undefined;
  /** The newest journaled progress of the newest attempt. */
  progress: Progress | undefined;
  /** The newest journaled update of the newest attempt. */
  update: Payload | undefined;
  steps: JournaledSteps;
  children: ReadonlyMap<string, ChildRecord>;
  fallback: FallbackStarted | undefined;
  /** The fallbacks that it has turned to, in order. */
  fallbacks: readonly FallbackTry[];
  /** The failure by which it has given up making attempts of its own. */
  givenUp: Failure | undefined;
  wait: Pick<RunWait, "gate" | "reason"> | undefined;
  /** When BACKING_OFF ends, or PARKED may. */
  wakeAtMs: number | undefined;
  orphanedUntilMs: number | undefined;
  cancelRequest: CancelRequested | undefined;
  cancelRequestedMs: number | undefined;
  failure: Failure | undefined;
  result: Payload | undefined;
  fallbackUsed: string;
  /** Of the newest attempt; of the result, once there is one. */
  quality: number;
  /** The lowest quality at which an attempt has run out of memory; 0 for none. */
  outOfMemoryAt: number;
}

export interface OpenAttempt {
  readonly number: number;
  readonly token: string;
  readonly endpoint: string;
  readonly startedMs: number;
}

export interface FailedAttempt extends OpenAttempt {
  readonly failure: Failure;
  readonly failedMs: number;
  /** What was done to recover from it. */
  readonly recoveries: RecoveryAction[];
}

export interface ChildRecord {
  readonly childRunId: string;
  readonly workflow: string;
  endState: RunState | undefined;
}

/** The journal does not follow the table of states and events: it is damaged, or the writer is wrong. */
export class IllegalEventError extends Error {
  override readonly name = "IllegalEventError";
}

const { QUEUED, RUNNING, BACKING_OFF, PARKED, DELEGATED, CANCELLING, SUCCEEDED, FAILED, CANCELLED, EXPIRED } = RunState;

const open: readonly RunState[] = [QUEUED, RUNNING, BACKING_OFF, PARKED, DELEGATED, CANCELLING];
const openButCancelling: readonly RunState[] = open.filter((state) => state !== CANCELLING);

/** The open states, in which events may follow. */
export const openStates: readonly RunState[] = open;

/** Where each event is allowed. `accepted` is allowed first and nowhere else. */
const allowedIn: Record<Exclude<RunEventKind, "accepted">, ReadonlySet<RunState>> = {
  attemptStarted: new Set([QUEUED]),
  attemptCheckpoint: new Set([RUNNING]),
  progressSampled: new Set([RUNNING]),
  updateRecorded: new Set([RUNNING]),
  faultInjected: new Set([RUNNING]),
  stepCompleted: new Set([RUNNING]),
  childStarted: new Set([RUNNING]),
  childEnded: new Set([RUNNING, CANCELLING]),
  attemptFailed: new Set([RUNNING, CANCELLING]),
  recoveryActed: new Set([QUEUED]),
  fallbackSkipped: new Set([QUEUED]),
  retryScheduled: new Set([QUEUED]),
  parked: new Set([QUEUED]),
  woken: new Set([BACKING_OFF, PARKED]),
  fallbackStarted: new Set([QUEUED]),
  fallbackEnded: new Set([DELEGATED, CANCELLING]),
  orphaned: new Set(open),
  rejoined: new Set(open),
  cancelRequested: new Set(openButCancelling),
  succeeded: new Set([RUNNING, DELEGATED]),
  failed: new Set([QUEUED]),
  cancelled: new Set([CANCELLING]),
  expired: new Set(openButCancelling),
};

/** Whether a run takes no further event. */
export function isTerminal(state: RunState): boolean {
  return state >= SUCCEEDED;
}

/** Whether the event may follow. An ended or delegated attempt, and modes, narrow what the state alone allows. */
export function allowsEvent(run: RunRecord, kind: RunEventKind): boolean {
  if (kind === "accepted" || !allowedIn[kind].has(run.state)) {
    return false;
  }
  switch (kind) {
    case "attemptFailed":
      return run.attempt !== undefined;
    case "fallbackEnded":
      return run.fallback !== undefined;
    case "cancelled":
    case "expired":
      // Every AttemptStarted is closed exactly once, before the run ends.
      return run.attempt === undefined;
    case "orphaned":
      return run.accepted.mode === RunMode.ATTACHED_KEYED && run.orphanedUntilMs === undefined;
    case "rejoined":
      return run.accepted.mode === RunMode.ATTACHED_KEYED && run.orphanedUntilMs !== undefined;
    default:
      return true;
  }
}

/** Reads a run out of its events. @throws IllegalEventError */
export function reduceRun(events: Iterable<RunEvent>): RunRecord | undefined {
  let run: RunRecord | undefined;
  for (const event of events) {
    run = run === undefined ? firstRecord(event) : applyEvent(run, event);
  }
  return run;
}

/** A run after its first event. @throws IllegalEventError unless that is an Accepted with number 1 */
export function firstRecord(event: RunEvent): RunRecord {
  if (event.event.case !== "accepted" || event.sequence !== 1n) {
    throw new IllegalEventError(`a journal begins with event 1, accepted, and not with ${describe(event)}`);
  }
  return acceptedRun(event.event.value, msFromTimestamp(event.time));
}

/**
 * A run that has just been accepted.
 *
 * @param createTimeMs as an event keeps it: see `eventTimeMs`
 */
export function acceptedRun(accepted: Accepted, createTimeMs: number): RunRecord {
  return {
    accepted,
    createTimeMs,
    deadlineMs: accepted.deadline === undefined ? Number.POSITIVE_INFINITY : msFromTimestamp(accepted.deadline),
    state: QUEUED,
    lastSequence: 1,
    stateSinceMs: createTimeMs,
    lastEventMs: createTimeMs,
    startTimeMs: undefined,
    endTimeMs: undefined,
    attempts: 0,
    attempt: undefined,
    countedFailures: 0,
    failuresSinceDelay: 0,
    retries: 0,
    interruptions: 0,
    interruptionsInRow: 0,
    executionMs: 0,
    queueMs: 0,
    failedAttempt: undefined,
    avoidedEndpoint: undefined,
    checkpoint: undefined,
    progress: undefined,
    update: undefined,
    steps: noSteps,
    children: noChildren,
    fallback: undefined,
    fallbacks: noFallbacks,
    givenUp: undefined,
    wait: undefined,
    wakeAtMs: undefined,
    orphanedUntilMs: undefined,
    cancelRequest: undefined,
    cancelRequestedMs: undefined,
    failure: undefined,
    result: undefined,
    fallbackUsed: "",
    quality: 0,
    outOfMemoryAt: 0,
  };
}

/** Adds one event to a run, in place. @throws IllegalEventError, and then the run is as it was */
export function applyEvent(run: RunRecord, event: RunEvent): RunRecord {
  const body = event.event;
  if (body.case === undefined || event.sequence !== BigInt(run.lastSequence + 1)) {
    throw illegalEvent(run, describe(event));
  }
  return applyNext(run, body, msFromTimestamp(event.time));
}

/**
 * Adds what happens next to a run, in place.
 *
 * @param timeMs as an event keeps it: see `eventTimeMs`
 * @throws IllegalEventError, and then the run is as it was
 */
export function applyNext(run: RunRecord, body: RunEventBody, timeMs: number): RunRecord {
  if (!allowsEvent(run, body.case)) {
    throw illegalEvent(run, `event ${run.lastSequence + 1} (${body.case})`);
  }
  run.lastSequence += 1;
  run.lastEventMs = timeMs;
  switch (body.case) {
    case "accepted":
      break;
    case "attemptStarted": {
      const started = body.value;
      run.retries = run.countedFailures;
      run.attempts = started.attempt;
      run.attempt = { number: started.attempt, token: started.token, endpoint: started.endpoint, startedMs: timeMs };
      run.failedAttempt = undefined;
      run.avoidedEndpoint = undefined;
      run.quality = started.quality;
      run.startTimeMs ??= timeMs;
      run.progress = undefined;
      run.update = undefined;
      enter(run, RUNNING, timeMs);
      break;
    }
    case "attemptCheckpoint":
      run.checkpoint = body.value;
      run.interruptionsInRow = 0;
      break;
    case "progressSampled":
      run.progress = body.value.progress;
      break;
    case "updateRecorded":
      run.update = body.value.update;
      break;
    case "stepCompleted":
      if (run.steps === noSteps) {
        run.steps = new JournaledSteps();
      }
      run.steps.add(body.value);
      run.interruptionsInRow = 0;
      break;
    case "childStarted":
      run.children = withChild(run.children, body.value.name, {
        childRunId: body.value.childRunId,
        workflow: body.value.workflow,
        endState: undefined,
      });
      break;
    case "childEnded": {
      const child = run.children.get(body.value.name);
      if (child !== undefined) {
        child.endState = body.value.state;
      }
      run.interruptionsInRow = 0;
      break;
    }
    case "attemptFailed":
      if (body.value.counted && body.value.failure !== undefined && run.attempt !== undefined) {
        run.failedAttempt = { ...run.attempt, failure: body.value.failure, failedMs: timeMs, recoveries: [] };
      }
      run.attempt = undefined;
      run.executionMs += msFromDuration(body.value.executionTime);
      run.failure = body.value.failure;
      if (run.failure?.category === FailureCategory.MEMORY) {
        run.outOfMemoryAt = Math.min(run.quality, run.outOfMemoryAt || run.quality);
      }
      if (body.value.counted) {
        run.countedFailures += 1;
        run.failuresSinceDelay = body.value.failure?.retryDelay === undefined ? run.failuresSinceDelay + 1 : 0;
        run.interruptionsInRow = 0;
      } else if (isInterruption(body.value.failure)) {
        run.interruptions += 1;
        run.interruptionsInRow += isBystanders(body.value.failure) ? 0 : 1;
      }
      if (run.state !== CANCELLING) {
        enter(run, QUEUED, timeMs);
      }
      break;
    case "recoveryActed":
      run.failedAttempt?.recoveries.push(body.value.action);
      if (body.value.action === RecoveryAction.SWITCH_ENDPOINT && body.value.error === "") {
        run.avoidedEndpoint = body.value.endpoint;
      }
      break;
    case "faultInjected":
      break;
    case "fallbackSkipped": {
      const { index, workflow, reason } = body.value;
      run.fallbacks = [...run.fallbacks, fallbackTry(index, workflow, "", "", { case: "skipped", value: reason })];
      break;
    }
    case "retryScheduled":
      run.wakeAtMs = msFromTimestamp(body.value.wakeAt);
      run.wait = { gate: "backoff", reason: body.value.reason };
      enter(run, BACKING_OFF, timeMs);
      break;
    case "parked":
      run.wakeAtMs = body.value.notBefore === undefined ? undefined : msFromTimestamp(body.value.notBefore);
      run.wait = { gate: body.value.gate, reason: body.value.reason };
      enter(run, PARKED, timeMs);
      break;
    case "woken":
      enter(run, QUEUED, timeMs);
      break;
    case "fallbackStarted":
      run.fallback = body.value;
      run.fallbacks = [...run.fallbacks, tryOf(body.value)];
      run.givenUp = body.value.failure ?? run.givenUp;
      enter(run, DELEGATED, timeMs);
      break;
    case "fallbackEnded":
      run.fallback = undefined;
      if (body.value.failure !== undefined) {
        run.fallbacks = withOutcome(run.fallbacks, { case: "failed", value: body.value.failure });
      }
      if (run.state !== CANCELLING) {
        enter(run, QUEUED, timeMs);
      }
      break;
    case "orphaned":
      run.orphanedUntilMs = msFromTimestamp(body.value.graceUntil);
      break;
    case "rejoined":
      run.orphanedUntilMs = undefined;
      break;
    case "cancelRequested":
      run.cancelRequest = body.value;
      run.cancelRequestedMs = timeMs;
      enter(run, CANCELLING, timeMs);
      break;
    case "succeeded":
      run.result = body.value.result;
      run.failure = undefined;
      run.executionMs = msFromDuration(body.value.statistics?.executionTime);
      run.quality = body.value.statistics?.qualityAchieved ?? 0;
      run.fallbackUsed = body.value.statistics?.fallbackUsed ?? "";
      run.attempt = undefined;
      if (run.fallback !== undefined) {
        run.fallback = undefined;
        run.fallbacks = withOutcome(run.fallbacks, { case: "answered", value: true });
      }
      end(run, SUCCEEDED, timeMs);
      break;
    case "failed":
      run.failure = body.value.failure;
      end(run, FAILED, timeMs);
      break;
    case "cancelled":
      end(run, CANCELLED, timeMs);
      break;
    case "expired":
      end(run, EXPIRED, timeMs);
      break;
  }
  return run;
}

/** Most runs have neither steps nor children, and an empty map of one's own is not free. */
const noSteps = new JournaledSteps();
const noChildren: ReadonlyMap<string, ChildRecord> = new Map();
const noFallbacks: readonly FallbackTry[] = [];

function tryOf({ index, workflow, childRunId, reason }: FallbackStarted): FallbackTry {
  return fallbackTry(index, workflow, childRunId, reason, { case: undefined });
}

/** What came of the one that has been turned to last. */
function withOutcome(tries: readonly FallbackTry[], outcome: FallbackTry["outcome"]): readonly FallbackTry[] {
  return tries.map((one, index) => (index === tries.length - 1 ? { ...one, outcome } : one));
}

/** The children with one more: in place, unless they are those that all runs share. */
function withChild(children: RunRecord["children"], name: string, child: ChildRecord): RunRecord["children"] {
  return children === noChildren ? new Map([[name, child]]) : (children as Map<string, ChildRecord>).set(name, child);
}

function enter(run: RunRecord, state: RunState, timeMs: number): void {
  if (run.state === QUEUED) {
    // The wall clock may have gone back.
    run.queueMs += Math.max(0, timeMs - run.stateSinceMs);
  }
  if (state !== BACKING_OFF && state !== PARKED) {
    run.wait = undefined;
    run.wakeAtMs = undefined;
  }
  run.state = state;
  run.stateSinceMs = timeMs;
}

function end(run: RunRecord, state: RunState, timeMs: number): void {
  enter(run, state, timeMs);
  run.endTimeMs = timeMs;
  run.orphanedUntilMs = undefined;
}

function illegalEvent(run: RunRecord, event: string): IllegalEventError {
  const { runId } = run.accepted;
  return new IllegalEventError(
    `${event} cannot follow event ${run.lastSequence} of run ${runId}, which is ${RunState[run.state]}`,
  );
}

function describe(event: RunEvent): string {
  return `event ${event.sequence} (${event.event.case ?? "of an unknown kind"})`;
}
