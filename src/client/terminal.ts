import { type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";

const endOf = {
  succeeded: RunState.SUCCEEDED,
  failed: RunState.FAILED,
  cancelled: RunState.CANCELLED,
  expired: RunState.EXPIRED,
} as const;

/** An event that ends a run. */
export type TerminalEvent = RunEvent & { readonly event: { readonly case: keyof typeof endOf } };

/** Whether a run in this state has ended. */
export function isTerminal(state: RunState): boolean {
  return state >= RunState.SUCCEEDED;
}

/** Whether this event ends its run. */
export function isTerminalEvent(event: RunEvent): event is TerminalEvent {
  return event.event.case !== undefined && event.event.case in endOf;
}

/** The state in which the event leaves its run. */
export function stateAfter(event: TerminalEvent): RunState {
  return endOf[event.event.case];
}
