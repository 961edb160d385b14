import type { LostField, ReadContracts } from "../contract/index.ts";
import type { Logger } from "../runs/index.ts";

/** Warns of what fallbacks lose on the way there and back, of each loss once. */
export class FallbackLosses {
  readonly #log: Logger;
  readonly #told = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  tell({ workflows, mappings }: Pick<ReadContracts, "workflows" | "mappings">): void {
    for (const workflow of workflows.values()) {
      for (const name of workflow.policy.fallbacks) {
        const fallback = workflows.get(name);
        if (fallback === undefined) {
          continue;
        }
        const { lostInRequest, lostInResponse } = mappings.of(workflow, fallback);
        const lost = { request: lostInRequest.map(textOf), response: lostInResponse.map(textOf) };
        const key = JSON.stringify([workflow.name, name, lost]);
        if (lost.request.length + lost.response.length > 0 && !this.#told.has(key)) {
          this.#told.add(key);
          this.#log.warn(
            { workflow: workflow.name, fallback: name, ...lost },
            "a fallback does not get all of the request, or callers not all of its answer: what it has no field for is lost",
          );
        }
      }
    }
  }
}

function textOf({ path, part }: LostField): string {
  return part === undefined ? path : `${path}: ${part}`;
}
