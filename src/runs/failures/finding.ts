import { type FailureKind, failureKinds, type KnownReason } from "./kinds.ts";

/** What is known of one error. */
export interface Finding extends FailureKind {
  readonly reason: string;
  /** The code by which it was known, as its source spells it. */
  readonly sourceCode: string;
  readonly retryDelayMs?: number;
  /** Whether its source rules another attempt out. */
  readonly final?: boolean;
}

/** An error of a kind that is known. */
export function finding(reason: KnownReason, sourceCode: string): Finding {
  return { ...(failureKinds[reason] as FailureKind), reason, sourceCode: shownCode(sourceCode) };
}

/** A code is shown to callers: only what can be one is. */
function shownCode(code: string): string {
  return /^[\w.-]{1,64}$/.test(code) ? code : "";
}
