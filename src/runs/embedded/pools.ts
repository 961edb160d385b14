import type { EndpointSlots, Limit } from "../ports/gates.ts";
import { Pool } from "./pool.ts";

/** All pools that are in use, by key. What is not in use is forgotten, and comes into being again when it is asked for. */
export class Pools {
  readonly #pools = new Map<string, Pool>();

  get(key: string): Pool | undefined {
    return this.#pools.get(key);
  }

  underLimit({ key, gate, limit }: Limit): Pool {
    return this.#pools.get(key) ?? this.#create(key, gate, limit);
  }

  atEndpoint({ key, slots }: EndpointSlots): Pool {
    return this.#pools.get(key) ?? this.#create(key, "endpoint", slots);
  }

  /** The endpoint with a free slot that has the smallest share of its slots taken; the first of equals. */
  leastBusy(endpoints: readonly EndpointSlots[]): EndpointSlots | undefined {
    let best: EndpointSlots | undefined;
    let bestTaken = 0;
    let bestShare = 0;
    for (const candidate of endpoints) {
      const pool = this.#pools.get(candidate.key);
      const taken = pool?.taken ?? 0;
      const slots = pool?.limit ?? candidate.slots;
      const share = taken / slots;
      // The shares of endpoints without a limit are all 0.
      const isLessBusy = best === undefined || share < bestShare || (share === bestShare && taken < bestTaken);
      if (taken < slots && isLessBusy) {
        best = candidate;
        bestTaken = taken;
        bestShare = share;
      }
    }
    return best;
  }

  forgetUnused(pool: Pool): void {
    if (pool.taken === 0 && pool.waiting === 0) {
      this.#pools.delete(pool.key);
    }
  }

  #create(key: string, gate: string, limit: number): Pool {
    const pool = new Pool(key, gate, limit);
    this.#pools.set(key, pool);
    return pool;
  }
}
