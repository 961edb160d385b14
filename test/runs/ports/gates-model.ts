export interface ModelRequest {
  readonly runId: string;
  readonly owner: string;
  readonly priority: number;
  /** By key, in order. */
  readonly limits: Record<string, number>;
  /** Slots by endpoint, in order. */
  readonly endpoints: Record<string, number>;
}

interface ModelRun extends ModelRequest {
  readonly order: number;
  /** When its line had its turn, as long as it waits; then what it was when it was served. */
  turn: number;
  /** Where it has its places, as soon as it has them. */
  endpoint: string | undefined;
}

/** Gates by the plainest means: everything is looked at each time. */
export class GatesModel {
  readonly woken: string[] = [];
  readonly #runs = new Map<string, ModelRun>();
  readonly #held = new Set<string>();
  #sequence = 0;

  knows(runId: string): boolean {
    return this.#runs.has(runId);
  }

  /** The endpoint, or undefined when the run is blocked. */
  acquire(request: ModelRequest): string | undefined {
    const known = this.#runs.get(request.runId);
    const run = known ?? this.#newcomer(request);
    this.#runs.delete(run.runId);
    // A place that is kept is chosen anew: another endpoint may be less busy by now.
    run.endpoint = undefined;
    const endpoint = this.#freeEndpoint(run);
    if (endpoint !== undefined) {
      this.#held.add(run.runId);
    } else {
      this.#lineUp(run);
    }
    run.endpoint = endpoint;
    this.#runs.set(run.runId, run);
    this.#serve();
    return run.endpoint;
  }

  #newcomer(request: ModelRequest): ModelRun {
    const order = this.#sequence++;
    return { ...request, order, turn: order, endpoint: undefined };
  }

  #lineUp(run: ModelRun): void {
    const line = this.#lineOf(run);
    const first = line[0];
    const turn =
      first === undefined || run.order > first.order ? (first?.turn ?? run.turn) : Math.min(run.turn, first.turn);
    for (const one of [run, ...line]) {
      one.turn = turn;
    }
  }

  /** Those who wait and stand in line with a run, first come first. */
  #lineOf(run: ModelRun): ModelRun[] {
    return [...this.#runs.values()]
      .filter((other) => other.endpoint === undefined && lineName(other) === lineName(run))
      .sort((a, b) => a.order - b.order);
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

  /** How it would be if all went one by one from now on, and nothing but what it waits for held anybody up. */
  position(runId: string): number {
    const run = this.#runs.get(runId) as ModelRun;
    const full = Object.entries(run.limits).find(([key, limit]) => this.#taken(key) >= limit);
    const shared = full === undefined ? Object.keys(run.endpoints).map((name) => `endpoint/${name}`) : [full[0]];
    const rivals = this.#waiting().filter((other) => shared.some((key) => keysOf(other).includes(key)));
    const turns = new Map(rivals.map((rival) => [lineName(rival), rival.turn]));
    for (let position = 1, now = this.#sequence; ; position++, now++) {
      rivals.sort(
        (a, b) =>
          b.priority - a.priority || (turns.get(lineName(a)) ?? 0) - (turns.get(lineName(b)) ?? 0) || a.order - b.order,
      );
      const next = rivals.shift() as ModelRun;
      if (next === run) {
        return position;
      }
      turns.set(lineName(next), now);
    }
  }

  /** How many places are taken of what it waits for. */
  holders(runId: string): number {
    const run = this.#runs.get(runId) as ModelRun;
    const full = Object.entries(run.limits).find(([key, limit]) => this.#taken(key) >= limit);
    const keys = full === undefined ? Object.keys(run.endpoints).map((name) => `endpoint/${name}`) : [full[0]];
    return keys.reduce((count, key) => count + this.#taken(key), 0);
  }

  waiting(key: string): number {
    return this.#waiting().filter((run) => keysOf(run).includes(key)).length;
  }

  #serve(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const line = this.#lineOf(next);
      next.endpoint = this.#freeEndpoint(next);
      this.woken.push(next.runId);
      const turn = this.#sequence++;
      for (const other of line.slice(1)) {
        other.turn = turn;
      }
    }
  }

  #next(): ModelRun | undefined {
    return this.#waiting().find((run) => this.#freeEndpoint(run) !== undefined);
  }

  #waiting(): ModelRun[] {
    return [...this.#runs.values()]
      .filter((run) => run.endpoint === undefined)
      .sort((a, b) => b.priority - a.priority || a.turn - b.turn || a.order - b.order);
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

/** Runs with the same needs, owner and priority share a turn. */
function lineName({ owner, priority, limits, endpoints }: ModelRequest): string {
  return JSON.stringify([owner, priority, Object.keys(limits), Object.keys(endpoints)]);
}
