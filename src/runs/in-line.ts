import type { Breakers } from "./breakers/breakers.ts";
import type { Pauses } from "./pauses.ts";
import type { Gates } from "./ports/gates.ts";

export interface Lines {
  readonly gates: Pick<Gates, "waiting">;
  readonly breakers: Pick<Breakers, "find">;
  readonly pauses: Pick<Pauses, "waiting">;
}

/** What a workflow's concurrency limit is called among the gates. */
export function workflowLimitKey(workflow: string): string {
  return `workflow/${workflow}`;
}

/** How many runs of a workflow wait to be let through: for a permit, by its breaker, or until it is resumed. */
export function inLine({ gates, breakers, pauses }: Lines, workflow: string): number {
  return gates.waiting(workflowLimitKey(workflow)) + (breakers.find(workflow)?.waiting ?? 0) + pauses.waiting(workflow);
}
