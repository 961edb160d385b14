/** Somebody outside of the server. Others are referred to by their name, so that any of them can be left out. */
export type ActorPlan =
  | CallerPlan
  | WatcherPlan
  | LookerPlan
  | CancellerPlan
  | RerunnerPlan
  | PauserPlan
  | ForcerPlan
  | DimmerPlan
  | DrillerPlan;

interface Actor {
  readonly name: string;
  /** When it begins. */
  readonly atMs: number;
}

/** Who calls. What belongs to one of them another one does not see. */
export const principalNames = ["ada", "ben", "cem"] as const;
export type PrincipalName = (typeof principalNames)[number];

/** Wants a work done. */
export interface CallerPlan extends Actor {
  readonly kind: "caller";
  readonly as: PrincipalName;
  readonly work: number;
  /** Absent for none. */
  readonly key?: string;
  /** Calls the method and waits; calls it but lets it go on for good; or starts it as a run. */
  readonly how: "attached" | "detached" | "started";
  readonly priority: number;
  /** How much it asks for. */
  readonly detail: number;
  /** The least level that it takes, from 1 (MINIMAL) to 5 (FULL). */
  readonly minQuality: number;
  /** How long each of its calls lasts before it leaves; the visits after the first are those of a caller who has a key. */
  readonly visits: readonly VisitPlan[];
}

export interface VisitPlan {
  /** How long after the visit before. */
  readonly afterMs: number;
  readonly patienceMs: number;
}

/** Watches the run of a caller, and comes back each time that the stream breaks off. */
export interface WatcherPlan extends Actor {
  readonly kind: "watcher";
  readonly of: string;
  /** Events after which it leaves the stream, to resume it; again and again. */
  readonly eventsAtOnce: number;
  /** How long it takes over each event. */
  readonly readMs: number;
}

/** Looks at the run of a caller, now and then. */
export interface LookerPlan extends Actor {
  readonly kind: "looker";
  readonly of: string;
  readonly times: number;
  readonly everyMs: number;
}

/** Cancels the run of a caller. */
export interface CancellerPlan extends Actor {
  readonly kind: "canceller";
  readonly of: string;
}

/** Reruns the run of a caller, once it has ended. */
export interface RerunnerPlan extends Actor {
  readonly kind: "rerunner";
  readonly of: string;
  readonly discardsSteps: boolean;
}

/** Pauses the workflow of a work, and resumes it. */
export interface PauserPlan extends Actor {
  readonly kind: "pauser";
  readonly work: number;
  readonly forMs: number;
}

/** Holds the breaker of a work's workflow open or closed, for a while. */
export interface ForcerPlan extends Actor {
  readonly kind: "forcer";
  readonly work: number;
  readonly isOpen: boolean;
  readonly forMs: number;
}

/** Holds the quality of a work's workflow at a level, for a while. */
export interface DimmerPlan extends Actor {
  readonly kind: "dimmer";
  readonly work: number;
  readonly level: number;
  readonly forMs: number;
}

/** Begins a drill against a work's workflow, and may end it before its time. */
export interface DrillerPlan extends Actor {
  readonly kind: "driller";
  readonly work: number;
  readonly effect: DrillEffect;
  readonly percentage: number;
  readonly forMs: number;
  readonly removesAfterMs?: number;
}

export type DrillEffect =
  | { readonly kind: "delay"; readonly forMs: number }
  | { readonly kind: "status"; readonly code: string }
  | { readonly kind: "abort" | "stall"; readonly afterMessages: number }
  | { readonly kind: "outOfMemory" | "crash" };
