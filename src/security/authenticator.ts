import type { PeerCertificate } from "node:tls";
import type { Principal } from "./principal.ts";

/** What a call shows. */
export interface Credentials {
  /** What follows "Bearer " in `authorization`. */
  readonly bearer?: string;
  /** The value of `x-api-key`. */
  readonly apiKey?: string;
  /** The client's certificate, which the handshake has verified. */
  readonly certificate?: PeerCertificate;
  /** The address that the call comes from. */
  readonly source: string;
}

/** Judges one kind of credentials. */
export interface Authenticator {
  /**
   * Who shows these; undefined when they are not of this kind. What is known already is told at once, and not by promise:
   * it is asked with each call.
   *
   * @throws ConnectError UNAUTHENTICATED
   */
  authenticate(credentials: Credentials): Principal | undefined | Promise<Principal | undefined>;
}
