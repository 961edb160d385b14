/** The policy of a workflow. Absent fields have their default. */
export interface PolicyPlan {
  readonly timeoutMs: number;
  readonly attemptTimeoutMs?: number;
  readonly progressTimeoutMs?: number;
  readonly retry?: RetryPlan;
  readonly concurrency?: { readonly limit: number; readonly queueLimit: number };
  readonly callerGraceMs: number;
  readonly cancelGraceMs: number;
  readonly maxInterruptions: number;
  readonly failsWhenInterrupted: boolean;
}

export interface RetryPlan {
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly backoffMultiplier: number;
  readonly codes: readonly string[];
}
