import type { Accepted, RunEvent } from "../../../gen/retake/v1/run_pb.js";
import { type MethodName, methodNames } from "../plan/plan.ts";

/** A run, as the journal tells of it. */
export interface RunHistory {
  readonly runId: string;
  readonly accepted: Accepted;
  readonly method: MethodName;
  readonly events: readonly RunEvent[];
}

/** What the journal tells of all runs, in the order of their ids. */
export type History = ReadonlyMap<string, RunHistory>;

/** The runs of a journal. Those whose first event is no Accepted are left out: the table of events is about that. */
export function readHistory(events: ReadonlyMap<string, readonly RunEvent[]>): History {
  const history = new Map<string, RunHistory>();
  for (const [runId, ofRun] of events) {
    const first = ofRun[0]?.event;
    if (first?.case === "accepted") {
      history.set(runId, { runId, accepted: first.value, method: methodOf(first.value.workflow), events: ofRun });
    }
  }
  return history;
}

/** The method that a workflow is, by its name. */
export function methodOf(workflow: string): MethodName {
  const name = workflow.slice(workflow.indexOf("/") + 1).toLowerCase();
  const method = methodNames.find((known) => known === name);
  if (method === undefined) {
    throw new Error(`${workflow} is no simulated workflow`);
  }
  return method;
}
