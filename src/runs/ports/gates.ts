import type { RunOwner } from "./journal.ts";

/** Gives out permits for attempts under limits that runs share. */
export interface Gates {
  /**
   * Takes one permit under all limits of the request together, or none. A run that is blocked for capacity is
   * remembered in order, its place is kept for it when one gets free, and the scheduler wakes it then; asking again
   * answers from that place, under what the request says now. Newcomers go behind those who wait, but pass those who
   * wait for something else.
   *
   * The order: higher priority first; within a priority, owners take turns; what one owner's runs need alike they get
   * first come, first served. An owner that is new goes behind those who wait, and is no further back for how many
   * runs each of them has.
   *
   * Gates in this process answer at once: every run comes by here.
   *
   * @throws Error when the run holds a permit already, or the request makes no sense
   */
  acquire(request: PermitRequest): Permit | Blocked | Promise<Permit | Blocked>;

  /** Gives a permit back; doing so twice is harmless. */
  release(permit: Permit): void;

  /** The slots of an endpoint have changed: who waits goes first where that makes room. Permits that are out stay so. */
  setSlots(slots: EndpointSlots): void;

  /** Forgets a run that waits, or that was woken and will not come. One that holds a permit keeps it. */
  withdraw(runId: string): void;

  /** What a run waits for, and where it stands; undefined when it does not wait. Costs a look at each line before it. */
  place(runId: string): WaitingPlace | undefined;

  /** Runs that hold what it waits for, so many at most; none when it does not wait. Costs a look at every run. */
  holders(runId: string, limit: number): readonly string[];

  /** How many waiting runs have asked under this limit, whichever limit holds them back; infinite ones count too. */
  waiting(key: string): number;

  /** Whether no place is free under this limit, so that a newcomer that names it would wait. */
  isFull(key: string): boolean;
}

export interface WaitingPlace {
  readonly gate: string;
  readonly reason: string;
  /** 1 is next. */
  readonly position: number;
  /** How many places are taken of what it waits for, those included that are kept for runs on their way. */
  readonly holders: number;
}

export interface PermitRequest {
  readonly runId: string;
  /** Whose run it is. */
  readonly owner: RunOwner;
  readonly priority: number;
  /** All of these must have room. Each once, the most widely shared first: that is told first, and costs least. */
  readonly limits: readonly Limit[];
  /** One of these must have a free slot; the least busy by the share of its slots is taken, the first of equals. */
  readonly endpoints: readonly EndpointSlots[];
}

export interface Limit {
  /** What it limits, unique on the server: "server", "workflow/<name>", "principal/<tenant>/<subject> in workflow/<name>". */
  readonly key: string;
  /** How it is called in a `RunWait`: "server", "workflow", "principal". */
  readonly gate: string;
  /**
   * How many at once: 0 lets nobody through, Infinity everybody. The newest one asked with counts for all, from when it
   * is asked with; what was let through without a limit may not count.
   */
  readonly limit: number;
}

export interface EndpointSlots {
  /** Its address: "in-process", "dns:///gpu-pool:50061". */
  readonly endpoint: string;
  /** What shares the slots: `endpoint/<address>`. */
  readonly key: string;
  /** Infinity for no limit; 0 while it is not healthy. */
  readonly slots: number;
}

export interface Permit {
  readonly kind: "permit";
  readonly runId: string;
  readonly endpoint: string;
}

/** Not a failure: never counted, never retried. */
export interface Blocked {
  readonly kind: "blocked";
  readonly gate: string;
  readonly reason: string;
  /** When asking again may help, in ms since the epoch; undefined where the gate wakes the run itself. */
  readonly notBeforeMs?: number;
}
