import type { MethodName } from "./plan.ts";

/** What the handler of one run does, in order. */
export interface WorkPlan {
  readonly method: MethodName;
  readonly operations: readonly Operation[];
}

export type Operation =
  | { readonly kind: "wait"; readonly forMs: number }
  /** Its function fails that often before it succeeds; tried again within the attempt where `tries` allows it. */
  | {
      readonly kind: "step";
      readonly name: string;
      readonly forMs: number;
      readonly failures: number;
      readonly tries: number;
    }
  | { readonly kind: "checkpoint"; readonly handle: string }
  | { readonly kind: "progress" }
  | { readonly kind: "update"; readonly keep: "latest" | "all" }
  /** Executes a work that stands later in the plan. */
  | { readonly kind: "child"; readonly name: string; readonly work: number }
  /** Fails the attempts up to that number. */
  | {
      readonly kind: "fail";
      readonly upToAttempt: number;
      /** Absent for something that is no ConnectError. */
      readonly code?: string;
      readonly retryDelayMs?: number;
      /** It is for want of memory, whatever the code. */
      readonly isOutOfMemory: boolean;
      /** Fails in no other workflow that stands in for its own. */
      readonly sparesFallbacks: boolean;
    }
  /**
   * Attempts up to that number work on for that long, and may not listen when they are told to stop. Whoever asks about
   * them is told that they live, or that they do not.
   */
  | {
      readonly kind: "stall";
      readonly upToAttempt: number;
      readonly forMs: number;
      readonly isDeaf: boolean;
      readonly isAlive: boolean;
    };
