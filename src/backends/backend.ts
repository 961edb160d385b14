import type { Message } from "@bufbuild/protobuf";
import type { Workflow } from "../contract/index.ts";
import type { Attempt, RunRecord, WorkflowContext } from "../runs/index.ts";

/** What carries out attempts. An in-process handler, a gRPC server and an engine look the same from here. */
export interface Backend {
  /**
   * Calls a unary workflow, or a streaming one whose updates come before its result. What it answers is checked by the
   * caller; what it throws is classified.
   */
  call(call: BackendCall): Promise<unknown> | AsyncIterable<unknown>;

  /** Stops a job that an earlier attempt has left behind, by its checkpoint. Absent where there are no such jobs. */
  cancel?(run: Readonly<RunRecord>, handle: Uint8Array): Promise<void>;
}

export interface BackendCall {
  readonly workflow: Workflow;
  readonly message: Message;
  readonly attempt: Attempt;
  readonly context: WorkflowContext;
}
