import type { PeerCertificate } from "node:tls";
import { createContextKey } from "@connectrpc/connect";

/** Who is at the other end of a call's connection, as the front that received the call knows it. */
export interface Peer {
  /** `host:port`, or the name of the transport when there is no network. "unknown" once the connection is gone. */
  readonly address: string;
  /** The client's certificate, present only when the TLS handshake has verified it. */
  readonly certificate: PeerCertificate | undefined;
  /** The caller is code of this process. */
  readonly inProcess?: true;
  /** The call is a part of something that has counted by rate limits. */
  readonly counted?: true;
}

/** Context value with the call's peer. Every front sets it; it is undefined where none has. */
export const peerKey = createContextKey<Peer | undefined>(undefined, { description: "peer" });

/**
 * Context value with a function that sends the response headers of a streaming call now, as they stand, instead of
 * with the first message. Headers set later are lost. On unary and client-streaming calls, and on fronts that cannot
 * do it, it does nothing: gRPC clients stop retrying once headers have arrived, so theirs leave with the response.
 */
export const flushHeadersKey = createContextKey<() => void>(() => undefined, { description: "flush headers" });
