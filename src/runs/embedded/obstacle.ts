import type { Pool } from "./pool.ts";
import type { EndpointChoice } from "./waiting-tree.ts";

/** What a run waits for. */
export interface Obstacle {
  readonly gate: string;
  readonly reason: string;
  /** A place in any of these would do. */
  readonly full: readonly Pool[];
}

/**
 * What holds a run up first of all: its first limit that is full, else its endpoints. Callers are told: not where those are.
 */
export function findObstacle(limits: readonly Pool[], { endpoints, pools }: EndpointChoice): Obstacle {
  const full = limits.find((pool) => !pool.hasRoom);
  if (full !== undefined) {
    const { key, gate, limit } = full;
    const reason = limit === 0 ? `${key} lets nothing through: its limit is 0` : `${key} is at its limit of ${limit}`;
    return { gate, reason, full: [full] };
  }
  if (pools.every(({ limit }) => limit === 0)) {
    const reason =
      endpoints.length === 1
        ? "its endpoint is not healthy, and gets no attempts before it is back"
        : `none of its ${endpoints.length} endpoints is healthy`;
    return { gate: "endpoint", reason, full: pools };
  }
  const away = new Set(pools.filter(({ limit }) => limit === 0).map(({ key }) => key));
  const out = endpoints.filter(({ key }) => away.has(key)).length;
  const reason =
    endpoints.length === 1
      ? "no slot is free at its endpoint"
      : `no slot is free at any of its ${endpoints.length} endpoints${out === 0 ? "" : `; ${out} of the ${endpoints.length} ${out === 1 ? "gets" : "get"} no attempts at the moment`}`;
  return { gate: "endpoint", reason, full: pools };
}
