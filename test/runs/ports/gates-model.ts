export interface ModelRequest {
  readonly runId: string;
  readonly priority: number;
  /** By key, in order. */
  readonly limits: Record<string, number>;
  /** Slots by endpoint, in order. */
  readonly endpoints: Record<string, number>;
}

interface ModelRun extends ModelRequest {
  readonly order: number;
  /** Where it has its places, as soon as it has them. */
  endpoint: string | undefined;
}

/** Gates by the plainest means: everything is looked at each time. */
export class GatesModel {
  readonly woken: string[] = [];
  readonly #runs = new Map<string, ModelRun>();
  readonly #held = new Set<string>();
  #order = 0;

  knows(runId: string): boolean {
    return this.#runs.has(runId);
  }

  /** The endpoint, or undefined when the run is blocked. */
  acquire(request: ModelRequest): string | undefined {
    const known = this.#runs.get(request.runId);
    const run = known ?? { ...request, order: this.#order++, endpoint: undefined };
    this.#runs.set(run.runId, run);
    // A place that is kept is chosen anew: another endpoint may be less busy by now.
    run.endpoint = undefined;
    run.endpoint = this.#freeEndpoint(run);
    if (run.endpoint !== undefined) {
      this.#held.add(run.runId);
    }
    this.#serve();
    return run.endpoint;
  }

  release(runId: string): void {
    this.#held.delete(runId);
    this.#runs.delete(runId);
    this.#serve();
  }

  withdraw(runId: string): void {
    this.#runs.delete(runId);
    this.#serve();
  }

  position(runId: string): number {
    const run = this.#runs.get(runId) as ModelRun;
    const full = Object.entries(run.limits).find(([key, limit]) => this.#taken(key) >= limit);
    const shared = full === undefined ? Object.keys(run.endpoints).map((name) => `endpoint/${name}`) : [full[0]];
    const rivals = this.#line().filter((other) => shared.some((key) => keysOf(other).includes(key)));
    return rivals.indexOf(run) + 1;
  }

  waiting(key: string): number {
    return this.#line().filter((run) => keysOf(run).includes(key)).length;
  }

  #serve(): void {
    for (const run of this.#line()) {
      run.endpoint = this.#freeEndpoint(run);
      if (run.endpoint !== undefined) {
        this.woken.push(run.runId);
      }
    }
  }

  #line(): ModelRun[] {
    return [...this.#runs.values()]
      .filter((run) => run.endpoint === undefined)
      .sort((a, b) => b.priority - a.priority || a.order - b.order);
  }

  #taken(key: string): number {
    const holders = [...this.#runs.values()].filter((run) => run.endpoint !== undefined);
    return holders.filter((run) => key in run.limits || key === `endpoint/${run.endpoint}`).length;
  }

  #freeEndpoint(run: ModelRun): string | undefined {
    if (Object.entries(run.limits).some(([key, limit]) => this.#taken(key) >= limit)) {
      return undefined;
    }
    return Object.entries(run.endpoints)
      .map(([name, slots]) => ({ name, slots, taken: this.#taken(`endpoint/${name}`) }))
      .filter(({ slots, taken }) => taken < slots)
      .sort((a, b) => a.taken / a.slots - b.taken / b.slots || a.taken - b.taken)[0]?.name;
  }
}

function keysOf(run: ModelRun): string[] {
  return [...Object.keys(run.limits), ...Object.keys(run.endpoints).map((name) => `endpoint/${name}`)];
}
