import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { type ContextValues, createContextValues } from "@connectrpc/connect";
import { type Peer, type Proxies, peerKey, peerName } from "../transport/index.ts";

/** What proxies have said of those whose requests they pass on. */
const forwarded = new WeakMap<IncomingMessage, string>();

/** Has a request of a trusted proxy count as its client's. */
export function noteForwarded(request: IncomingMessage, proxies: Proxies): void {
  const { header } = proxies;
  if (header === undefined || !proxies.isTrusted(request.socket.remoteAddress)) return;
  // Node has joined those that came more than once.
  const client = proxies.clientOf(request.headers[header]?.toString());
  if (client !== undefined) forwarded.set(request, peerName(client));
}

/** Where a request comes from, with its port. */
export function peerAddress(request: IncomingMessage): string | undefined {
  const { remoteAddress, remotePort } = request.socket;
  return forwarded.get(request) ?? (remoteAddress === undefined ? undefined : `${remoteAddress}:${remotePort}`);
}

/** Who is at the other end of an HTTP request, as context values of the calls that come of it. */
export function peerValues(request: IncomingMessage): ContextValues {
  const { socket } = request;
  const peer: Peer = {
    address: peerAddress(request) ?? "unknown",
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
