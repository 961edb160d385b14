import { Code, ConnectError } from "@connectrpc/connect";
import { createError } from "../runs/index.ts";

/** Whose credentials are refused, as far as they say. */
export interface Blamed {
  /** The id of a key, which nothing proves. */
  readonly claimed?: string | undefined;
  /** The subject of a token or certificate that are what they say they are, and refused all the same. */
  readonly proven?: string | undefined;
}

/** Credentials that are refused, and what they name: whose lock they may be tried at. */
export class CredentialsError extends ConnectError {
  readonly blamed: Blamed;

  constructor(reason: string, message: string, options: Blamed & { readonly cause?: unknown } = {}) {
    super(message, Code.Unauthenticated, undefined, undefined, options.cause);
    this.blamed = { claimed: options.claimed, proven: options.proven };
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
