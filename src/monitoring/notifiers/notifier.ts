import type { Notice } from "./notice.ts";

/** What came of a message. */
export type SendOutcome =
  | { readonly kind: "delivered" }
  /** It is tried again. */
  | { readonly kind: "failed"; readonly error: string; readonly retryAfterMs?: number }
  /** It would never be taken. */
  | { readonly kind: "refused"; readonly error: string };

/** A message for a receiver. */
export interface NoticeMessage {
  /** At least one. */
  readonly notices: readonly Notice[];
  /** The same for each try of the same message, and for no other. */
  readonly id: string;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

/** A way to tell somebody of alerts. */
export interface Notifier {
  readonly name: string;
  /** Notices that one message can have. */
  readonly most: number;
  /** Messages in a minute. */
  readonly maxPerMinute: number;
  /** Whether an incident can be acknowledged there. */
  readonly acknowledges: boolean;
  /** Where whatever is not told again is taken for over: how often that must be. */
  readonly heartbeatMs?: number;
  /** Whether an alert that always fires, so that its absence is noticed, is for people there: then it is not told. */
  readonly forPeople: boolean;
  /** Notices of one message agree in this. Absent: any go together. */
  groupOf?(notice: Notice): string;
  /** Never rejects. */
  send(message: NoticeMessage): Promise<SendOutcome>;
}
