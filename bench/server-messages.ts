import type { Subject } from "./subjects.ts";

/** What the process of a server is started with, as its one argument, in JSON. */
export interface ServerOrder {
  readonly subject: Subject;
  /** Empty; for its data, if it has any. */
  readonly directory: string;
}

/** What the bench asks of it. Every wish is answered by what has happened since the last answer. */
export type ServerWish = "usage" | "close";

export interface ServerReady {
  readonly port: number;
  /** What each call shows. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface ServerUsage {
  /** CPU time that all threads of the process took. */
  readonly cpuMicros: number;
  /** 99 % of looks at the event loop came no later than this; includes the ms between two looks. */
  readonly eventLoopDelayP99Ms: number;
}
