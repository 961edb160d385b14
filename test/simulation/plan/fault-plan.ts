/** What happens to the server. */
export type FaultPlan =
  /** Killed while a commit is being synced, counted over the whole simulation; the commit may have reached the disk. */
  | { readonly kind: "crash"; readonly atCommit: number; readonly isStored: boolean; readonly downMs: number }
  /** Stopped as an orchestrator does it, and started again. */
  | { readonly kind: "drain"; readonly atMs: number; readonly drainMs: number; readonly downMs: number }
  /** The disk is full, or fails. */
  | { readonly kind: "disk"; readonly atMs: number; readonly forMs: number }
  /** The wall clock is set forward, or back. */
  | { readonly kind: "jump"; readonly atMs: number; readonly byMs: number };
