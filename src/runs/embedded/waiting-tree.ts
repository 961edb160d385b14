import { BinaryHeap, type HeapItem } from "../../binary-heap.ts";
import type { EndpointSlots } from "../ports/gates.ts";
import type { RunOwner } from "../ports/journal.ts";
import type { Pool } from "./pool.ts";
import { type Ranked, ranksBefore } from "./rank.ts";
import { type Ordered, WaitingLine } from "./waiting-line.ts";

/** A run that waits: small, since there may be very many. */
export interface Waiter extends Ordered {
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

/** What all runs of a line have in common besides what they need. */
interface Line {
  readonly priority: number;
  readonly owner: RunOwner;
}

/**
 * Where runs wait that need the same: a slot at one of some endpoints, and a place under each of some limits. A node's
 * parent needs the same but for its last limit; below the root are the sets of endpoints. The leaves are lines: each of
 * runs of one owner and one priority.
 */
export class WaitingNode implements HeapItem, Ranked {
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
  /** Of a leaf. */
  readonly line: WaitingLine<Waiter> | undefined;
  readonly priority: number;
  turn = 0;
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
    line?: Line,
  ) {
    this.parent = parent;
    this.name = name;
    this.choice = choice;
    this.limits = limits;
    this.gates = gates;
    this.line = line && new WaitingLine();
    this.priority = line?.priority ?? 0;
    this.named = line === undefined || parent === undefined ? [...limits, ...choice.pools] : parent.named;
  }

  get hasRoom(): boolean {
    return this.gates.length === 0 || this.gates.some((pool) => pool.hasRoom);
  }

  /** How many here and below go before the one at a place in a line: 0 for its first. */
  countBefore(leaf: WaitingNode, place: number): number {
    if (this === leaf) {
      return place;
    }
    if (this.line !== undefined) {
      if (this.priority !== leaf.priority) {
        return this.priority > leaf.priority ? this.line.size : 0;
      }
      // Lines take turns, so those before this one are served once more by then.
      return Math.min(this.line.size, ranksBefore(this, leaf) ? place + 1 : place);
    }
    let count = 0;
    for (const child of this.children?.values() ?? []) {
      count += child.countBefore(leaf, place);
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

  /** Where runs with these needs, of that owner and priority, wait. To be used at once: one without runs would stay. */
  lineFor(choice: EndpointChoice, limits: readonly Pool[], line: Line): WaitingNode {
    const name = choice.endpoints.map(({ endpoint, key }) => `${endpoint}\n${key}`).join("\n");
    let node = this.#root.children?.get(name) ?? this.#grow(this.#root, name, choice, [], choice.pools);
    for (const [index, pool] of limits.entries()) {
      node = node.children?.get(pool.key) ?? this.#grow(node, pool.key, choice, limits.slice(0, index + 1), [pool]);
    }
    // No key of a pool is JSON.
    const leafName = JSON.stringify([line.priority, line.owner.tenant, line.owner.subject]);
    return node.children?.get(leafName) ?? this.#grow(node, leafName, choice, limits, [], line);
  }

  /** @param turn that of the line from now on, if the run is the first of it and no earlier one is known */
  add(waiter: Waiter, turn: number): void {
    const { node } = waiter;
    const line = lineOf(node);
    const before = line.first;
    line.add(waiter);
    if (before === undefined) {
      node.turn = turn;
    } else if (line.first === waiter) {
      node.turn = Math.min(node.turn, turn);
    }
    this.#refresh(node);
  }

  remove(waiter: Waiter): void {
    lineOf(waiter.node).remove(waiter);
    this.#refresh(waiter.node);
    this.#prune(waiter.node);
  }

  /** Takes out the first of a line, which has had its turn: others have theirs before it is served again. */
  serve(waiter: Waiter, turn: number): void {
    waiter.node.turn = turn;
    this.remove(waiter);
  }

  /** To be called when a pool has filled, or got room. */
  roomChanged(pool: Pool): void {
    for (const node of pool.nodes ?? []) {
      this.#refresh(node);
    }
  }

  /** The first run of each line. */
  firsts(): Waiter[] {
    const firsts: Waiter[] = [];
    const collect = (node: WaitingNode) => {
      if (node.line?.first !== undefined) {
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
    line?: Line,
  ): WaitingNode {
    const node = new WaitingNode(parent, name, choice, limits, gates, line);
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
    while (node.parent !== undefined && (node.line?.size ?? 0) === 0 && (node.children?.size ?? 0) === 0) {
      for (const pool of node.gates) {
        pool.nodes?.delete(node);
      }
      node.parent.children?.delete(node.name);
      this.#nodes--;
      node = node.parent;
    }
  }
}

function lineOf({ name, line }: WaitingNode): WaitingLine<Waiter> {
  if (line === undefined) {
    throw new Error(`no runs wait at ${name} itself: this is a bug`);
  }
  return line;
}

function firstInside(node: WaitingNode): Waiter | undefined {
  return node.line === undefined ? node.open?.peek()?.first : node.line.first;
}

function goesBefore(a: WaitingNode, b: WaitingNode): boolean {
  // Only nodes with a first one are in a heap.
  return a.first !== undefined && b.first !== undefined && ranksBefore(a.first.node, b.first.node);
}
