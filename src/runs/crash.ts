import type { Failure } from "../../gen/retake/v1/run_pb.js";

/** What is known of how the last process ended: by an error of an attempt that nobody caught. */
export interface Crash {
  readonly runId: string;
  /** Of the attempt. */
  readonly token: string;
  /** What the attempt has failed with. */
  readonly failure: Failure;
  /** Attempts that began later were interrupted by something else. */
  readonly atMs: number;
}
