/** What is known of a server that makes it well or not. What is absent is not known. */
export interface HealthFacts {
  readonly journal?: {
    readonly available: boolean;
    /** Why it is not. */
    readonly error: string;
    /** Of the last minutes; absent where nothing was committed. */
    readonly p99CommitSeconds?: number;
    /** For how long it has not made durable what it was given. */
    readonly unansweredSeconds?: number;
  };
  readonly disk?: { readonly freeBytes: number; readonly sizeBytes: number };
  /** Of what has less left: the process, or V8's heap. */
  readonly memory?: { readonly of: "process" | "heap"; readonly usedBytes: number; readonly limitBytes: number };
  /** The 99th percentile. */
  readonly eventLoopDelaySeconds?: number;
  /** Runs that have ended in the last minutes. */
  readonly ended?: { readonly runs: number; readonly failed: number };
  /** The workflow that has slowed down most: how long that part of its runs took at most lately, and before. */
  readonly slowest?: {
    readonly workflow: string;
    readonly part: number;
    readonly seconds: number;
    readonly usualSeconds: number;
  };
  /** Null where no run waits; else the one that has waited for the largest part of the time that it has. */
  readonly waiting?: { readonly workflow: string; readonly seconds: number; readonly timeoutSeconds: number } | null;
  readonly breakers?: {
    readonly count: number;
    readonly open: readonly string[];
    readonly halfOpen: readonly string[];
  };
  /** How far the requests of workflows are reduced: 0 (FULL) to 4 (MINIMAL), those that are at all. */
  readonly quality?: { readonly workflows: number; readonly reduced: ReadonlyMap<string, number> };
  /** Those that fire, by how bad they are. */
  readonly alerts?: { readonly critical: number; readonly warning: number };
}
