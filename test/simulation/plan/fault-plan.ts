/** What happens to the server, and to what it stands on. */
export type FaultPlan =
  /** Killed while a commit is being synced, counted over the whole simulation; the commit may have reached the disk. */
  | { readonly kind: "crash"; readonly atCommit: number; readonly isStored: boolean; readonly downMs: number }
  /** Stopped as an orchestrator does it, and started again. */
  | { readonly kind: "drain"; readonly atMs: number; readonly drainMs: number; readonly downMs: number }
  /** The same, while a back-end recovers: that is counted over the whole simulation. */
  | { readonly kind: "halt"; readonly atRecovery: number; readonly drainMs: number; readonly downMs: number }
  /** The disk is full; or it takes what is written, and does not say that it has stored it. */
  | { readonly kind: "disk"; readonly atMs: number; readonly forMs: number; readonly isWritten: boolean }
  /** The journal refuses an append to a run alone, counted over the whole simulation: over all, or over those of families. */
  | { readonly kind: "refusal"; readonly atAppend: number; readonly isOfFamily: boolean }
  /** Of what is read of journal and payloads, a share from 0 to 1 cannot be. */
  | { readonly kind: "reads"; readonly atMs: number; readonly forMs: number; readonly share: number }
  /** The wall clock is set forward, or back. */
  | { readonly kind: "jump"; readonly atMs: number; readonly byMs: number }
  /** Something is wrong with one of the endpoints elsewhere. */
  | {
      readonly kind: "outage";
      readonly endpoint: number;
      readonly what: OutageKind;
      readonly atMs: number;
      readonly forMs: number;
    };

/**
 * It is gone; or only connections that were made before are; it says that it does not serve; it does not say how it
 * does; or it says that it does well, and fails whatever it is asked for.
 */
export type OutageKind = "gone" | "stale" | "not serving" | "silent" | "failing";
