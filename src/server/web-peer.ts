import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { type ContextValues, createContextValues } from "@connectrpc/connect";
import { type Peer, peerKey } from "../transport/index.ts";

/** Who is at the other end of an HTTP request, as context values of the calls that come of it. */
export function peerValues({ socket }: IncomingMessage): ContextValues {
  const peer: Peer = {
    address: socket.remoteAddress === undefined ? "unknown" : `${socket.remoteAddress}:${socket.remotePort}`,
    certificate: "authorized" in socket && socket.authorized ? (socket as TLSSocket).getPeerCertificate() : undefined,
  };
  return createContextValues().set(peerKey, peer);
}

/** The same for a further call that comes of the same request: it has counted by rate limits. */
export function countedPeerValues(request: IncomingMessage): ContextValues {
  const values = peerValues(request);
  const peer = values.get(peerKey);
  return peer === undefined ? values : values.set(peerKey, { ...peer, counted: true });
}
