import type { Ranked } from "./rank.ts";
import type { WaitingNode } from "./waiting-tree.ts";

/** The places under one limit, or the slots of one endpoint. */
export class Pool {
  readonly key: string;
  /** What people call it. */
  readonly gate: string;
  /** How many places there are; may fall below `taken`. */
  limit: number;
  /** Places that are held, or kept for a run. */
  taken = 0;
  /** Runs that wait and name this pool, whether it is full or not. */
  waiting = 0;
  /** Where in the tree runs wait that need a place here. */
  nodes: Set<WaitingNode> | undefined;
  /** The rank of the run that took the last free place. */
  #filledByPriority = 0;
  #filledByTurn = -1;

  constructor(key: string, gate: string, limit: number) {
    this.key = key;
    this.gate = gate;
    this.limit = limit;
  }

  get hasRoom(): boolean {
    return this.taken < this.limit;
  }

  take(by: Ranked): void {
    this.taken++;
    if (!this.hasRoom) {
      this.#filledByPriority = by.priority;
      this.#filledByTurn = by.turn;
    }
  }

  /** Whether a run could have had the last place, but for another limit: it went to one that ranks behind it. */
  wentBehind(run: Ranked): boolean {
    return this.#filledByTurn > run.turn && this.#filledByPriority <= run.priority;
  }
}
