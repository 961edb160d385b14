import { Code, ConnectError } from "@connectrpc/connect";
import { createError } from "../runs/index.ts";

/** Credentials that are refused, and what they name: whose lock they may be tried at. */
export class CredentialsError extends ConnectError {
  /** What the credentials say they are, which nothing proves: the id of a key. */
  readonly claimed: string | undefined;

  constructor(reason: string, message: string, options: { readonly claimed?: string; readonly cause?: unknown } = {}) {
    super(message, Code.Unauthenticated, undefined, undefined, options.cause);
    this.claimed = options.claimed;
    // Over HTTP it says what would be taken.
    this.metadata.set("www-authenticate", "Bearer");
    this.details.push(...createError(Code.Unauthenticated, reason, message).details);
  }
}

/** The same for credentials that never were, are revoked or are over: nobody learns which keys there are. */
export function notAccepted(claimed?: string): CredentialsError {
  return new CredentialsError(
    "CREDENTIALS_REFUSED",
    "the credentials of this call are not accepted: they are unknown, revoked or expired",
    claimed === undefined ? {} : { claimed },
  );
}

/** Told without looking anything up, so it gives nothing away. */
export function mistypedKey(): CredentialsError {
  return new CredentialsError(
    "API_KEY_MISTYPED",
    "this is no API key: its checksum is wrong; look for a character that is missing, added or changed",
  );
}
