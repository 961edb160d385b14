import type { Run, RunEvent } from "../../../gen/retake/v1/run_pb.js";
import type { WorkflowContext } from "../../../src/runs/index.ts";
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
  /** The server has ordered events of a run, to be appended at once. */
  appended?(runId: string, events: readonly RunEvent[]): void;
  /** A back-end has been called. */
  called?(attempt: AttemptSight): void | Promise<void>;
  /** The function of a step is executed. */
  stepped?(attempt: AttemptSight, name: string): void | Promise<void>;
  /** The server has taken something from an attempt that it promises to keep. */
  kept?(attempt: AttemptSight, what: "attemptCheckpoint" | "updateRecorded"): void | Promise<void>;
  /** The server has logged an error. */
  logged?(fields: object, message: string): void;
  /** Everything is over; this is what the journal says. */
  concluded?(history: History): void | Promise<void>;
}

/** One call of a back-end, as it sees it. */
export interface AttemptSight {
  readonly runId: string;
  readonly number: number;
  readonly work: WorkPlan;
  readonly context: WorkflowContext;
  /** The server that has called, by its number. */
  readonly server: number;
  readonly startedMs: number;
  /** When its run expires, by the clock that does not jump. */
  readonly deadlineMs: number;
  /** When something moved it last. */
  movedMs: number;
  /** It waits for a child, and has given its permit back. */
  isWaiting: boolean;
  /** How long it has waited for children. */
  waitedMs: number;
  /** The steps that it has the results of, by name. */
  readonly stepsDone: string[];
  /** When it has stopped. */
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
