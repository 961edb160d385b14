import type { Blocked, EndpointSlots, Gates, Permit, PermitRequest, WaitingPlace } from "../ports/gates.ts";
import type { Scheduler } from "../ports/scheduler.ts";
import { assertSound } from "./assert-sound.ts";
import { findObstacle } from "./obstacle.ts";
import type { Pool } from "./pool.ts";
import { Pools } from "./pools.ts";
import { type Ranked, ranksBefore } from "./rank.ts";
import type { Ordered } from "./waiting-line.ts";
import { type Waiter, type WaitingNode, WaitingTree } from "./waiting-tree.ts";

export interface EmbeddedGatesOptions {
  /** Wakes the runs that a place is kept for. */
  readonly scheduler: Pick<Scheduler, "wake">;
}

/** Gates for the runs of this process, in memory: at the next start, runs ask anew. */
export function createEmbeddedGates(options: EmbeddedGatesOptions): Gates {
  return new EmbeddedGates(options.scheduler);
}

interface Holder extends Ranked {
  readonly state: "held";
  readonly permit: Permit;
  readonly pools: readonly Pool[];
}

/** A run that was woken, and whose places are kept for it until it comes. */
interface Awaited extends Ranked, Ordered {
  readonly state: "awaited";
  readonly pools: readonly Pool[];
}

/** A run that has all it needs. */
type Served = Pick<Claimant, "runId" | "priority" | "turn" | "order" | "node">;

/** A run that collects its places one by one, as they get free. */
interface Claimant extends Ranked, Ordered {
  readonly state: "claiming";
  readonly runId: string;
  readonly node: WaitingNode;
  readonly pools: Pool[];
  missing: readonly Pool[];
  hasSlot: boolean;
}

/**
 * 1. A pool's places are taken by those who hold a permit, those whom it is kept for, and the claimant.
 * 2. Whenever a call returns, no run waits that could go: a place that gets free is kept for the first one that can use it
 *    there and then. So a newcomer that finds room passes nobody who could have used it.
 * 3. A run that waits for one limit does not hold up those that do not need it, so it may be passed under its other
 *    limits. Where that happens under every one of them, it might wait for ever: it becomes the claimant, which keeps
 *    each place that it can get until it has all. There is one at a time, so that two never wait for each other.
 * 4. What is unlimited is counted only where it is known already: since it had a limit, or because runs wait that name it.
 * 5. Runs of one owner and one priority that need the same stand in one line. Lines take turns, within a priority: the
 *    one that has not been served for longest goes first, and a new one goes behind those that wait already. So however
 *    many runs an owner has waiting, the first one of another waits for one turn of each line at most.
 * 6. A pool without places taken and without runs that wait is forgotten, and so is a line without runs.
 */
class EmbeddedGates implements Gates {
  readonly #scheduler: Pick<Scheduler, "wake">;
  readonly #pools = new Pools();
  readonly #runs = new Map<string, Waiter | Claimant | Awaited | Holder>();
  readonly #tree = new WaitingTree();
  #claimant: Claimant | undefined;
  /** Numbers what happens: requests, and turns of lines. */
  #sequence = 0;
  #grantsSinceCheck = 0;

  constructor(scheduler: Pick<Scheduler, "wake">) {
    this.#scheduler = scheduler;
  }

  acquire(request: PermitRequest): Permit | Blocked {
    assertSound(request);
    const known = this.#runs.get(request.runId);
    if (known !== undefined) {
      return this.#acquireAgain(known, request);
    }
    this.#adoptLimits(request);
    const order = this.#sequence++;
    const permit = this.#tryTake(request, order);
    if (permit === undefined) {
      return this.#wait(request, order, order);
    }
    this.#checkForPassed();
    return permit;
  }

  release(permit: Permit): void {
    const holder = this.#runs.get(permit.runId);
    if (holder?.state === "held" && holder.permit === permit) {
      this.#runs.delete(permit.runId);
      this.#giveBack(holder.pools);
      this.#serve();
    }
  }

  setSlots({ key, slots }: EndpointSlots): void {
    if (this.#adopt(key, slots)) {
      this.#serve();
    }
  }

  withdraw(runId: string): void {
    if (this.#takeOut(runId)) {
      this.#serve();
    }
  }

  place(runId: string): WaitingPlace | undefined {
    const run = this.#runs.get(runId);
    if (run?.state !== "waiting" && run?.state !== "claiming") {
      return undefined;
    }
    const { limits, choice } = run.node;
    const { gate, reason, full } = findObstacle(run.state === "claiming" ? run.missing : limits, choice);
    const position = run.state === "claiming" ? 1 : this.#position(run, full);
    return { gate, reason, position, holders: full.reduce((count, pool) => count + pool.taken, 0) };
  }

  holders(runId: string, limit: number): readonly string[] {
    const run = this.#runs.get(runId);
    if (run?.state !== "waiting" && run?.state !== "claiming") {
      return [];
    }
    const limits = run.state === "claiming" ? run.missing : run.node.limits;
    const { full } = findObstacle(limits, run.node.choice);
    const found: string[] = [];
    for (const [holderId, holder] of this.#runs) {
      if (found.length >= limit) {
        break;
      }
      if (holder.state === "held" && holder.pools.some((pool) => full.includes(pool))) {
        found.push(holderId);
      }
    }
    return found;
  }

  waiting(key: string): number {
    return this.#pools.get(key)?.waiting ?? 0;
  }

  isFull(key: string): boolean {
    return this.#pools.get(key)?.hasRoom === false;
  }

  /** Limits, endpoints and priority may have changed: the run asks anew, but before anybody else, and keeps its age. */
  #acquireAgain(known: Waiter | Claimant | Awaited | Holder, request: PermitRequest): Permit | Blocked {
    const { runId } = request;
    if (known.state === "held") {
      throw new Error(`run ${runId} asks for a permit but holds one: it has to release that first`);
    }
    this.#adoptLimits(request);
    // Others may have been served just now, this run among them.
    const turn = this.#turnOf(runId) ?? known.order;
    this.#takeOut(runId);
    const answer = this.#tryTake(request, turn) ?? this.#wait(request, known.order, turn);
    this.#serve();
    return answer;
  }

  #turnOf(runId: string): number | undefined {
    const run = this.#runs.get(runId);
    return run?.state === "waiting" ? run.node.turn : run?.turn;
  }

  #position(run: Waiter, full: readonly Pool[]): number {
    const claimed = this.#claimant === undefined ? [] : this.#claimant.node.named;
    const place = run.node.line?.countBefore(run) ?? 0;
    let position = full.some((pool) => claimed.includes(pool)) ? 2 : 1;
    for (const node of new Set(full.flatMap((pool) => [...(pool.nodes ?? [])]))) {
      position += node.countBefore(run.node, place);
    }
    return position;
  }

  /** The newest limits win; those who wait go first where that makes room. */
  #adoptLimits({ limits, endpoints }: PermitRequest): void {
    let roomier = false;
    for (const { key, limit } of limits) {
      roomier = this.#adopt(key, limit) || roomier;
    }
    for (const { key, slots } of endpoints) {
      roomier = this.#adopt(key, slots) || roomier;
    }
    if (roomier) {
      this.#serve();
    }
  }

  #adopt(key: string, limit: number): boolean {
    const pool = this.#pools.get(key);
    if (pool === undefined || pool.limit === limit) {
      return false;
    }
    const hadRoom = pool.hasRoom;
    pool.limit = limit;
    if (pool.hasRoom === hadRoom) {
      return false;
    }
    this.#tree.roomChanged(pool);
    return pool.hasRoom;
  }

  #tryTake(request: PermitRequest, turn: number): Permit | undefined {
    const { runId, priority, limits, endpoints } = request;
    const pools: Pool[] = [];
    for (const limit of limits) {
      const isUnlimited = limit.limit === Number.POSITIVE_INFINITY;
      const pool = isUnlimited ? this.#pools.get(limit.key) : this.#pools.underLimit(limit);
      if (pool !== undefined) {
        if (!pool.hasRoom) {
          return undefined;
        }
        pools.push(pool);
      }
    }
    const slots = this.#pools.leastBusy(endpoints);
    if (slots === undefined) {
      return undefined;
    }
    // Where there is a choice, how busy an endpoint is counts even if it is unlimited.
    const isCounted = slots.slots !== Number.POSITIVE_INFINITY || endpoints.length > 1;
    const pool = isCounted ? this.#pools.atEndpoint(slots) : this.#pools.get(slots.key);
    if (pool !== undefined) {
      pools.push(pool);
    }
    const permit: Permit = { kind: "permit", runId, endpoint: slots.endpoint };
    const holder: Holder = { state: "held", permit, pools, priority, turn };
    this.#runs.set(runId, holder);
    for (const pool of pools) {
      this.#take(pool, holder);
    }
    return permit;
  }

  #wait({ runId, owner, priority, limits, endpoints }: PermitRequest, order: number, turn: number): Blocked {
    const slots = new Set(endpoints.map((endpoint) => this.#pools.atEndpoint(endpoint)));
    const node = this.#tree.lineFor(
      { endpoints, pools: [...slots] },
      limits.map((limit) => this.#pools.underLimit(limit)),
      { owner, priority },
    );
    const waiter: Waiter = { state: "waiting", runId, order, node };
    this.#runs.set(runId, waiter);
    this.#tree.add(waiter, turn);
    for (const pool of node.named) {
      pool.waiting++;
    }
    const { gate, reason } = findObstacle(node.limits, node.choice);
    return { kind: "blocked", gate, reason };
  }

  /** Removes all traces of a run, unless it holds a permit. If it did, others may have to be served. */
  #takeOut(runId: string): boolean {
    const run = this.#runs.get(runId);
    if (run === undefined || run.state === "held") {
      return false;
    }
    this.#runs.delete(runId);
    if (run.state === "waiting") {
      this.#tree.remove(run);
      this.#stopWaiting(run.node);
    } else if (run.state === "claiming") {
      this.#claimant = undefined;
      this.#giveBack(run.pools);
      this.#stopWaiting(run.node);
    } else {
      this.#giveBack(run.pools);
    }
    return true;
  }

  /** Keeps every place that is free for a run that waits for it, best first, and wakes those who have all they need. */
  #serve(): void {
    if (this.#claimant !== undefined) {
      this.#collect(this.#claimant);
    }
    for (let first = this.#tree.first; first !== undefined; first = this.#tree.first) {
      const slots = this.#pools.leastBusy(first.node.choice.endpoints);
      if (slots === undefined) {
        throw new Error(`run ${first.runId} was let through although no endpoint has a free slot: this is a bug`);
      }
      const pools = [...first.node.limits, this.#pools.atEndpoint(slots)];
      const { runId, order, node } = first;
      const { priority, turn } = node;
      for (const pool of pools) {
        this.#take(pool, node);
      }
      this.#tree.serve(first, this.#sequence++);
      this.#keep({ runId, order, node, priority, turn }, pools);
      this.#checkForPassed();
    }
  }

  #keep({ runId, priority, turn, order, node }: Served, pools: readonly Pool[]): void {
    this.#runs.set(runId, { state: "awaited", pools, priority, turn, order });
    this.#stopWaiting(node);
    // The past: as soon as possible, whatever the clock does.
    this.#scheduler.wake(runId, 0, priority);
  }

  /** Looks now and then, at a bounded cost for each permit given out, whether one of those who wait is passed by all. */
  #checkForPassed(): void {
    const { nodes } = this.#tree;
    if (nodes === 0 || this.#claimant !== undefined || ++this.#grantsSinceCheck <= nodes) {
      return;
    }
    this.#grantsSinceCheck = 0;
    let passed: Waiter | undefined;
    for (const waiter of this.#tree.firsts()) {
      if (isPassed(waiter) && (passed === undefined || ranksBefore(waiter.node, passed.node))) {
        passed = waiter;
      }
    }
    if (passed !== undefined) {
      const { runId, order, node } = passed;
      const { priority, turn } = node;
      this.#tree.serve(passed, this.#sequence++);
      this.#claimant = {
        state: "claiming",
        runId,
        priority,
        turn,
        order,
        node,
        pools: [],
        missing: node.limits,
        hasSlot: false,
      };
      this.#runs.set(runId, this.#claimant);
      this.#collect(this.#claimant);
    }
  }

  #collect(claimant: Claimant): void {
    const take = (pool: Pool) => {
      this.#take(pool, claimant);
      claimant.pools.push(pool);
    };
    const { choice } = claimant.node;
    claimant.missing.filter((pool) => pool.hasRoom).forEach(take);
    claimant.missing = claimant.missing.filter((pool) => !claimant.pools.includes(pool));
    if (!claimant.hasSlot) {
      const slots = this.#pools.leastBusy(choice.endpoints);
      if (slots !== undefined) {
        take(this.#pools.atEndpoint(slots));
        claimant.hasSlot = true;
      }
    }
    if (claimant.missing.length === 0 && claimant.hasSlot) {
      this.#claimant = undefined;
      this.#keep(claimant, claimant.pools);
    }
  }

  #take(pool: Pool, by: Ranked): void {
    pool.take(by);
    if (!pool.hasRoom) {
      this.#tree.roomChanged(pool);
    }
  }

  #giveBack(pools: readonly Pool[]): void {
    for (const pool of pools) {
      const hadRoom = pool.hasRoom;
      pool.taken--;
      if (pool.hasRoom !== hadRoom) {
        this.#tree.roomChanged(pool);
      }
      this.#pools.forgetUnused(pool);
    }
  }

  #stopWaiting(node: WaitingNode): void {
    for (const pool of node.named) {
      pool.waiting--;
      this.#pools.forgetUnused(pool);
    }
  }
}

/** Whether each place that the run needs and cannot have was given to one that ranks behind it. */
function isPassed(waiter: Waiter): boolean {
  const isWithinReach = (pool: Pool) => pool.hasRoom || pool.wentBehind(waiter.node);
  return waiter.node.limits.every(isWithinReach) && waiter.node.choice.pools.some(isWithinReach);
}
