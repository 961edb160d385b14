import type { Breakers } from "./breakers/breakers.ts";
import type { Pauses } from "./pauses.ts";
import type { Gates } from "./ports/gates.ts";
import type { Retakes } from "./retakes.ts";

export interface Lines {
  readonly gates: Pick<Gates, "waiting">;
  readonly breakers: Pick<Breakers, "find">;
  readonly pauses: Pick<Pauses, "waiting">;
  readonly retakes: Pick<Retakes, "waiting">;
}

/** What a workflow's concurrency limit is called among the gates. */
export function workflowLimitKey(workflow: string): string {
  return `workflow/${workflow}`;
}

/** How many runs of a workflow wait: for a permit, by its breaker, until it is resumed, or to be retaken. */
export function inLine({ gates, breakers, pauses, retakes }: Lines, workflow: string): number {
  return (
    gates.waiting(workflowLimitKey(workflow)) +
    (breakers.find(workflow)?.waiting ?? 0) +
    pauses.waiting(workflow) +
    retakes.waiting(workflow)
  );
}
