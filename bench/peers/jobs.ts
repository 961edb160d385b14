/** What everybody is given to do: nothing, or three durable steps that do nothing. */
export const jobs = ["empty", "steps"] as const;

export type Job = (typeof jobs)[number];

/** One product's workflows and their caller, in one process. */
export interface App {
  /** Has a job done, durably; resolves when its result is there. */
  run(job: Job): Promise<void>;
}

/** What the process of an app is told, in this order: first where its servers are, then loads. */
export interface Load {
  readonly job: Job;
  /** Jobs in flight. */
  readonly inFlight: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}
