import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { type ContextValues, createContextValues } from "@connectrpc/connect";
import { type Peer, peerKey } from "../transport/index.ts";

/** What the calls of a request begin with: who is at the other end of its connection. */
export function peerValues({ socket }: IncomingMessage): ContextValues {
  const peer: Peer = {
    address: socket.remoteAddress === undefined ? "unknown" : `${socket.remoteAddress}:${socket.remotePort}`,
    certificate: "authorized" in socket && socket.authorized ? (socket as TLSSocket).getPeerCertificate() : undefined,
  };
  return createContextValues().set(peerKey, peer);
}
