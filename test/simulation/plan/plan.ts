import type { ActorPlan } from "./actor-plan.ts";
import type { FaultPlan } from "./fault-plan.ts";
import type { ActionName, PolicyPlan } from "./policy-plan.ts";
import type { WorkPlan } from "./work-plan.ts";

/**
 * Everything that a simulation is told, as plain data: the same plan gives the same journals, byte for byte. It is drawn
 * from a seed, and shrunk by leaving things out.
 */
export interface Plan {
  /** Decides what the plan leaves open: the order of ready work, latencies, jitter. */
  readonly seed: number;
  readonly server: ServerPlan;
  readonly policies: Readonly<Record<MethodName, PolicyPlan>>;
  readonly works: readonly WorkPlan[];
  readonly actors: readonly ActorPlan[];
  readonly faults: readonly FaultPlan[];
}

export interface ServerPlan {
  /** Attempts at once, over all workflows. */
  readonly concurrencyLimit: number;
  /** Of the handlers in the server's own process, shared by all workflows. */
  readonly slots: number;
  /** Where attempts are made elsewhere. Absent where there is nothing but those handlers. */
  readonly remotes?: RemotesPlan;
  /** The longest time that a commit takes to be durable. */
  readonly syncMs: number;
  /** Of the one back-end. Absent for any number of retries. */
  readonly retryBudget?: RetryBudgetPlan;
  readonly recoveries: Readonly<Record<ActionName, ActionPlan>>;
  /** Absent where nobody can be asked whether jobs live. */
  readonly probes?: ProbesPlan;
}

export interface RemotesPlan {
  /** Whether attempts are made by the handlers in the server's own process as well. */
  readonly besideOwn: boolean;
  readonly endpoints: readonly RemotePlan[];
  readonly healthIntervalMs: number;
  readonly healthTimeoutMs: number;
  /** Absent where no endpoint is taken out for failing. */
  readonly outliers?: OutliersPlan;
}

export interface RemotePlan {
  readonly target: string;
  readonly slots: number;
  /** How long it takes to say how it does. */
  readonly answerMs: number;
}

export interface OutliersPlan {
  readonly consecutiveFailures: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionPercent: number;
}

/** How many attempts the endpoints take at once, by their names. */
export function slotsOf({ slots, remotes }: ServerPlan): ReadonlyMap<string, number> {
  const own = remotes?.besideOwn === false ? [] : [["in-process", slots] as const];
  return new Map([...own, ...(remotes?.endpoints ?? []).map((remote) => [remote.target, remote.slots] as const)]);
}

/** How the back-end answers who asks whether a job lives. */
export interface ProbesPlan {
  /** It may hang for longer than anybody waits. */
  readonly afterMs: number;
  /** It gives no answer, but an error. */
  readonly isFailing: boolean;
}

export interface RetryBudgetPlan {
  readonly maxTokens: number;
  readonly tokenRatio: number;
  readonly tokenIntervalMs: number;
}

/** What becomes of an action by which the back-end is to recover. */
export interface ActionPlan {
  readonly is: "done" | "failing" | "not offered";
  readonly forMs: number;
}

export const methodNames = ["paint", "print", "film", "score"] as const;
export type MethodName = (typeof methodNames)[number];

export function isStreaming(method: MethodName): method is "film" | "score" {
  return method === "film" || method === "score";
}
