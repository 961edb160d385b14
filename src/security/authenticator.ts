import type { PeerCertificate } from "node:tls";
import type { Principal } from "./principal.ts";

/** What a call shows. */
export interface Credentials {
  /** Whether its headers show anything, of whatever kind: then that is who calls, or nobody. */
  readonly any: boolean;
  /** What follows "Bearer " in `authorization`. */
  readonly bearer?: string | undefined;
  /** The value of `x-api-key`. */
  readonly apiKey?: string | undefined;
  /** The client's certificate, which the handshake has verified. */
  readonly certificate?: PeerCertificate | undefined;
  /** The address that the call comes from. */
  readonly source: string;
  /** Too much that was wrong has come from there: most of what costs more than a hash to check must be refused unseen. */
  readonly lockedOut: boolean;
  /** The trace of the call, for the log: a W3C `traceparent`. */
  readonly traceparent?: string | null;
}

/** Judges one kind of credentials. */
export interface Authenticator {
  /**
   * Who shows these; undefined when they are not of this kind. What is known already is told at once, and not by promise:
   * it is asked with each call.
   *
   * @throws ConnectError UNAUTHENTICATED; a CredentialsError where they claim to be somebody's
   */
  authenticate(credentials: Credentials): Principal | undefined | Promise<Principal | undefined>;
}
