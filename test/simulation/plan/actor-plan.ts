/** Somebody outside of the server. Others are referred to by their name, so that any of them can be left out. */
export type ActorPlan = CallerPlan | WatcherPlan | LookerPlan | CancellerPlan | RerunnerPlan | PauserPlan;

interface Actor {
  readonly name: string;
  /** When it begins. */
  readonly atMs: number;
}

/** Wants a work done. */
export interface CallerPlan extends Actor {
  readonly kind: "caller";
  readonly work: number;
  /** Absent for none. */
  readonly key?: string;
  /** Calls the method and waits; calls it but lets it go on for good; or starts it as a run. */
  readonly how: "attached" | "detached" | "started";
  readonly priority: number;
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
