import { BinaryHeap, type HeapItem } from "../../binary-heap.ts";
import type { EndpointSlots } from "../ports/gates.ts";
import type { Pool } from "./pool.ts";
import { type Ranked, ranksBefore, WaitingLine } from "./waiting-line.ts";

/** A run that waits: small, since there may be very many. */
export interface Waiter extends Ranked {
  readonly state: "waiting";
  readonly runId: string;
  readonly node: WaitingNode;
}

/** One of some endpoints. */
export interface EndpointChoice {
  readonly endpoints: readonly EndpointSlots[];
  /** Their slots, each pool once. */
  readonly pools: readonly Pool[];
}

/**
 * Where runs wait that need the same: a slot at one of some endpoints, and a place under each of some limits. A node's
 * parent needs the same but for its last limit; below the root are the sets of endpoints.
 */
export class WaitingNode implements HeapItem {
  heapIndex = -1;
  readonly parent: WaitingNode | undefined;
  /** What its parent calls it. */
  readonly name: string;
  readonly choice: EndpointChoice;
  readonly limits: readonly Pool[];
  /** What a run needs here beyond what the parent tells: a place in one of these. */
  readonly gates: readonly Pool[];
  /** All pools that its runs name. */
  readonly named: readonly Pool[];
  readonly line = new WaitingLine<Waiter>();
  children: Map<string, WaitingNode> | undefined;
  /** Children that have a first one. */
  open: BinaryHeap<WaitingNode> | undefined;
  /** Who goes first of all that wait here and below and could go, as far as the gates from here on downwards tell. */
  first: Waiter | undefined;

  constructor(
    parent: WaitingNode | undefined,
    name: string,
    choice: EndpointChoice,
    limits: readonly Pool[],
    gates: readonly Pool[],
  ) {
    this.parent = parent;
    this.name = name;
    this.choice = choice;
    this.limits = limits;
    this.gates = gates;
    this.named = [...limits, ...choice.pools];
  }

  get hasRoom(): boolean {
    return this.parent === undefined || this.gates.some((pool) => pool.hasRoom);
  }

  /** How many rank before a run, here and below. */
  countBefore(run: Ranked): number {
    let count = this.line.countBefore(run);
    for (const child of this.children?.values() ?? []) {
      count += child.countBefore(run);
    }
    return count;
  }
}

/**
 * All runs that wait, so arranged that the first of those that could go is always at hand: a pool that fills or gets room
 * opens or closes its nodes, and no run that waits is looked at.
 */
export class WaitingTree {
  readonly #root = new WaitingNode(undefined, "", { endpoints: [], pools: [] }, [], []);
  #nodes = 0;

  /** The first of all runs that could go now. */
  get first(): Waiter | undefined {
    return this.#root.first;
  }

  /** How many kinds of needs there are, more or less. */
  get nodes(): number {
    return this.#nodes;
  }

  /** Where runs with these needs wait. To be used at once: a node without runs would stay. */
  nodeFor(choice: EndpointChoice, limits: readonly Pool[]): WaitingNode {
    const name = choice.endpoints.map(({ endpoint, key }) => `${endpoint}\n${key}`).join("\n");
    let node = this.#root.children?.get(name) ?? this.#grow(this.#root, name, choice, [], choice.pools);
    for (const [index, pool] of limits.entries()) {
      node = node.children?.get(pool.key) ?? this.#grow(node, pool.key, choice, limits.slice(0, index + 1), [pool]);
    }
    return node;
  }

  add(waiter: Waiter): void {
    waiter.node.line.add(waiter);
    this.#refresh(waiter.node);
  }

  remove(waiter: Waiter): void {
    waiter.node.line.remove(waiter);
    this.#refresh(waiter.node);
    this.#prune(waiter.node);
  }

  /** To be called when a pool has filled, or got room. */
  roomChanged(pool: Pool): void {
    for (const node of pool.nodes ?? []) {
      this.#refresh(node);
    }
  }

  /** The first run of each node that has runs. */
  firsts(): Waiter[] {
    const firsts: Waiter[] = [];
    const collect = (node: WaitingNode) => {
      if (node.line.first !== undefined) {
        firsts.push(node.line.first);
      }
      node.children?.forEach(collect);
    };
    collect(this.#root);
    return firsts;
  }

  #grow(
    parent: WaitingNode,
    name: string,
    choice: EndpointChoice,
    limits: readonly Pool[],
    gates: readonly Pool[],
  ): WaitingNode {
    const node = new WaitingNode(parent, name, choice, limits, gates);
    parent.children ??= new Map();
    parent.children.set(name, node);
    this.#nodes++;
    for (const pool of gates) {
      pool.nodes ??= new Set();
      pool.nodes.add(node);
    }
    return node;
  }

  /** Finds out who goes first at a node, and tells the nodes above as long as that changes something. */
  #refresh(from: WaitingNode): void {
    let node = from;
    for (;;) {
      const first = node.hasRoom ? firstInside(node) : undefined;
      if (first === node.first) {
        return;
      }
      node.first = first;
      const { parent } = node;
      if (parent === undefined) {
        return;
      }
      parent.open ??= new BinaryHeap(goesBefore);
      parent.open.remove(node);
      if (first !== undefined) {
        parent.open.push(node);
      }
      node = parent;
    }
  }

  #prune(from: WaitingNode): void {
    let node = from;
    while (node.parent !== undefined && node.line.size === 0 && (node.children?.size ?? 0) === 0) {
      for (const pool of node.gates) {
        pool.nodes?.delete(node);
      }
      node.parent.children?.delete(node.name);
      this.#nodes--;
      node = node.parent;
    }
  }
}

function firstInside(node: WaitingNode): Waiter | undefined {
  const here = node.line.first;
  const below = node.open?.peek()?.first;
  return here === undefined || (below !== undefined && ranksBefore(below, here)) ? below : here;
}

function goesBefore(a: WaitingNode, b: WaitingNode): boolean {
  // Only nodes with a first one are in a heap.
  return a.first !== undefined && b.first !== undefined && ranksBefore(a.first, b.first);
}
