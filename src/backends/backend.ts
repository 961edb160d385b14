import type { Message } from "@bufbuild/protobuf";
import type { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Failure } from "../../gen/retake/v1/run_pb.js";
import type { Workflow } from "../contract/index.ts";
import type { Attempt, Fitness, WorkflowContext } from "../runs/index.ts";

/** What carries out attempts. An in-process handler, a gRPC server and an engine look the same from here. */
export interface Backend {
  /**
   * Calls a unary workflow, or a streaming one whose updates come before its result. What it answers is checked by the
   * caller; what it throws is classified.
   */
  call(call: BackendCall): Promise<unknown> | AsyncIterable<unknown>;

  /**
   * Whether a job lives that has been silent; undefined where that cannot be told. Rejects when there is no answer. Absent
   * where jobs cannot be asked about.
   */
  probe?(job: Job, signal: AbortSignal): Promise<JobHealth | undefined>;

  /** What asks whether attempts of a workflow would work again, so that no run need find out; undefined for nobody. */
  workflowProbe?(workflow: string): WorkflowProbe | undefined;

  /**
   * Does something about what a job failed with; whether that is offered at all. Rejects when it cannot be done. Absent
   * where there is nothing to be done.
   */
  recover?(action: RecoveryAction, job: FailedJob, signal: AbortSignal): Promise<boolean>;

  /** Stops a job that an earlier attempt has left behind. Absent where there are no such jobs. */
  cancel?(job: Job, signal: AbortSignal): Promise<void>;
}

/** Undefined where that cannot be told. Rejects when there is no answer. */
export type WorkflowProbe = (signal: AbortSignal) => Promise<Fitness | undefined>;

export interface BackendCall {
  readonly workflow: Workflow;
  readonly message: Message;
  readonly attempt: Attempt;
  readonly context: WorkflowContext;
}

/** One attempt's work, seen from outside of its call. */
export interface Job {
  /** `package.Service/Method`. */
  readonly workflow: string;
  readonly runId: string;
  /** 1, 2, 3, … */
  readonly attempt: number;
  /** Unique to the attempt. */
  readonly token: string;
  /** The newest checkpoint of the run: the attempt's own, or that of an earlier one whose job it may have adopted. */
  readonly handle?: Uint8Array;
}

export interface FailedJob extends Job {
  readonly failure: Failure;
}

export interface JobHealth {
  readonly alive: boolean;
  /** What holds it up, or why it does not live. */
  readonly reason?: string;
}
