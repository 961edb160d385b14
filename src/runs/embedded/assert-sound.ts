import type { PermitRequest } from "../ports/gates.ts";

/**
 * Refuses a request that gates cannot make sense of. On the path of every run, so it costs next to nothing.
 *
 * @throws Error when it names no endpoint, or a limit twice
 * @throws RangeError when a number in it is none, or a limit is below 0
 */
export function assertSound({ runId, priority, limits, endpoints }: PermitRequest): void {
  if (endpoints.length === 0) {
    throw new Error(`run ${runId} asks for a permit without naming an endpoint`);
  }
  if (Number.isNaN(priority)) {
    throw new RangeError(`run ${runId} asks for a permit with a priority that is not a number`);
  }
  for (const { key, slots } of endpoints) {
    assertLimit(runId, key, slots);
  }
  let index = 0;
  for (const { key, limit } of limits) {
    assertLimit(runId, key, limit);
    for (let before = 0; before < index; before++) {
      if (limits[before]?.key === key) {
        throw new Error(`run ${runId} asks for a permit under ${key} twice`);
      }
    }
    index++;
  }
}

function assertLimit(runId: string, key: string, limit: number): void {
  if (!(limit >= 0)) {
    throw new RangeError(`run ${runId} asks for a permit under ${key} with a limit of ${limit}: it must be 0 or more`);
  }
}
