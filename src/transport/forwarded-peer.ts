import type { Http2Server, Http2Session, IncomingHttpHeaders } from "node:http2";
import { peerName } from "./client-address.ts";
import type { Peer } from "./context-keys.ts";
import type { Proxies } from "./proxies.ts";
import { streamOf } from "./session-guard.ts";

/** Of sessions that trusted proxies hold, which carry the calls of many clients. */
const proxiesOf = new WeakMap<Http2Session, Proxies>();

/** Has calls on sessions of trusted proxies count as their clients'. */
export function noteProxies(server: Http2Server, proxies: Proxies): void {
  if (proxies.header === undefined) return;
  server.on("session", (session) => {
    if (proxies.isTrusted(session.socket?.remoteAddress)) proxiesOf.set(session, proxies);
  });
}

/** The proxies whose word counts on a session; undefined where nobody's does. */
export function proxiesOn(session: Http2Session): Proxies | undefined {
  return proxiesOf.get(session);
}

/** The same for a call of grpc-js. */
export function proxiesOfCall(surface: object): Proxies | undefined {
  const session = streamOf(surface)?.session;
  return session == null ? undefined : proxiesOf.get(session);
}

/** Whom a trusted proxy speaks for; itself, where it does not say. */
export function forwardedPeer(peer: Peer, proxies: Proxies, headers: Readonly<IncomingHttpHeaders>): Peer {
  const value = proxies.header && headers[proxies.header];
  const client = proxies.clientOf(typeof value === "string" ? value : value?.join(","));
  return client === undefined ? peer : { address: peerName(client), certificate: peer.certificate };
}
