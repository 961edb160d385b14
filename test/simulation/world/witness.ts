import type { Code } from "@connectrpc/connect";
import type { BreakerEvent } from "../../../gen/retake/v1/breaker_pb.js";
import type { Run, RunEvent } from "../../../gen/retake/v1/run_pb.js";
import type { RunProgress } from "../../../gen/retake/v1/run_service_pb.js";
import type { WorkflowContext } from "../../../src/runs/index.ts";
import type { MethodName } from "../plan/plan.ts";
import type { ActionName } from "../plan/policy-plan.ts";
import type { WorkPlan } from "../plan/work-plan.ts";
import type { History } from "./history.ts";
import type { World } from "./world.ts";

/**
 * Something that holds in every simulation. Its witness sees what can be seen from outside of the server, and throws a
 * `Violation` when that contradicts it.
 */
export interface Invariant {
  /** What holds, in a few words. */
  readonly name: string;
  witness(world: World): Witness;
}

/** How an endpoint does: well, or not, or it has not answered in time, or there is no connection to it. */
export type HealthAnswer = "serving" | "no" | "late" | "down";

/** What is told to those who watch over the invariants, at the moment at which it happens. */
export interface Witness {
  /** The server has answered that the run is accepted, or has joined a caller to it. */
  acknowledged?(runId: string): void | Promise<void>;
  /** A caller has got the result of a run. */
  answered?(runId: string, made: string): void | Promise<void>;
  /** A caller has been told of a run as it stands. */
  shown?(run: Run): void | Promise<void>;
  /** A watcher has seen an event. */
  watched?(watcher: string, runId: string, event: RunEvent): void | Promise<void>;
  /** A watcher is shown how far a run itself has come. */
  progressed?(runId: string, progress: RunProgress): void;
  /** The server has ordered events of a run, to be appended at once. */
  appended?(runId: string, events: readonly RunEvent[]): void;
  /** The journal has refused what was ordered of a run. */
  refused?(runId: string): void;
  /** A back-end has been called. */
  called?(attempt: AttemptSight): void | Promise<void>;
  /** The function of a step is executed. */
  stepped?(attempt: AttemptSight, name: string): void | Promise<void>;
  /** The server has taken something from an attempt that it promises to keep. */
  kept?(attempt: AttemptSight, what: "attemptCheckpoint" | "updateRecorded"): void | Promise<void>;
  /** An attempt is about to give a sign of life, after a silence. */
  moving?(attempt: AttemptSight): void;
  /** A server starts on what the one before has left, the newest transition of each breaker among it. */
  starting?(breakers: ReadonlyMap<MethodName, BreakerEvent>): void | Promise<void>;
  /** A breaker has made a transition, by which everybody goes from now on. */
  transitioned?(method: MethodName, event: BreakerEvent): void;
  /** A trial of a breaker has succeeded, and others must; the newest transition says how many there have been. */
  tried?(method: MethodName, event: BreakerEvent): void;
  /** A back-end has been asked whether the job of an attempt lives, and has answered. */
  asked?(attempt: Pick<AttemptSight, "runId" | "number">, answer: "alive" | "dead" | "failing"): void;
  /** An endpoint elsewhere has been asked how it does, and has answered; or the time for that is over. */
  checked?(target: string, answer: HealthAnswer): void;
  /** An endpoint elsewhere has answered a call of a workflow, with a failure or without. */
  replied?(target: string, reply: Reply): void;
  /** An endpoint elsewhere is connected: the first time, or anew. */
  connected?(target: string): void;
  /** A back-end has been told to recover. */
  recovering?(recovery: RecoverySight): void;
  /** The server was told to stop, and has stopped in order. */
  drained?(fromMs: number, toMs: number): void;
  /** Somebody has been told that a drill is over. */
  drillRemoved?(faultId: string): void;
  /** All is over, and so many runs of a workflow are started that none of them should have to wait. */
  probing?(method: MethodName, count: number): void;
  /** They have ended. */
  probed?(method: MethodName): void;
  /** The server has logged an error. */
  logged?(fields: object, message: string): void;
  /** Everything is over; this is what the journal says. */
  concluded?(history: History): void | Promise<void>;
}

/** How a call of an endpoint elsewhere ends. */
export interface Reply {
  /** Absent where all is well. */
  readonly code?: Code;
  /** The server itself has broken it off. */
  readonly isAborted: boolean;
}

/** One call of a back-end, as it sees it. */
export interface AttemptSight {
  readonly runId: string;
  readonly number: number;
  readonly work: WorkPlan;
  /** What is executed: the method of the work, or one that stands in for it. */
  readonly method: MethodName;
  /** How much is asked of it; undefined where requests do not say. */
  readonly detail: number | undefined;
  /** Absent where it is carried out elsewhere: there is neither a step nor a checkpoint then. */
  readonly context?: WorkflowContext;
  /** Of the server, to stop it. */
  readonly signal: AbortSignal;
  readonly token: string;
  readonly endpoint: string;
  /** Whose run it is. */
  readonly owner: string;
  /** The server that has called, by its number. */
  readonly server: number;
  readonly startedMs: number;
  /** When its run expires, by the clock that does not jump. */
  readonly deadlineMs: number;
  /** When it may have given its last sign of life, as the progress time-out counts: not the time it waited for children. */
  movedMs: number;
  /** The same, but the latest that it can have been. */
  heardMs: number;
  /** Whether its job lives, as the back-end says when it is asked. */
  isAlive: boolean;
  /** It waits for a child, and has given its permit back. */
  isWaiting: boolean;
  /** How long it has waited for children. */
  waitedMs: number;
  /** The steps that it has the results of, by name. */
  readonly stepsDone: string[];
  /** When it has stopped. */
  endedMs: number;
}

/** One action by which a back-end is to recover, as it sees it. */
export interface RecoverySight {
  readonly action: ActionName;
  readonly endpoint: string;
  readonly runId: string;
  /** The attempt that has failed. */
  readonly attempt: number;
  readonly server: number;
  readonly startedMs: number;
  /** When it was over; Infinity until then. */
  endedMs: number;
}

/** An invariant does not hold. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** @throws Violation unless the condition holds */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) {
    throw new Violation(typeof message === "string" ? message : message());
  }
}
