import { Code, type Interceptor } from "@connectrpc/connect";
import { createError } from "../../runs/index.ts";
import { type Authenticator, type Credentials, inProcess, type Principal, principalKey } from "../../security/index.ts";
import { type Peer, peerKey } from "../../transport/index.ts";

/** Finds out who calls, and puts that into the call's context. Wrong credentials are refused, not taken for none. */
export function authenticate(options: {
  /** Asked in this order, until one knows the credentials. */
  readonly authenticators: readonly Authenticator[];
  /** Who calls over the network and shows nothing. */
  readonly anonymous: Principal;
}): Interceptor {
  const principalOf = (credentials: Credentials, peer: Peer | undefined): Principal | Promise<Principal> => {
    const pending: Promise<Principal | undefined>[] = [];
    for (const authenticator of options.authenticators) {
      const principal = authenticator.authenticate(credentials);
      if (principal instanceof Promise) pending.push(principal);
      else if (principal !== undefined) return principal;
    }
    if (pending.length > 0) {
      return Promise.all(pending).then(
        (found) => found.find((principal) => principal !== undefined) ?? withoutJudge(credentials, peer),
      );
    }
    return withoutJudge(credentials, peer);
  };
  const withoutJudge = (credentials: Credentials, peer: Peer | undefined): Principal => {
    if (credentials.bearer !== undefined || credentials.apiKey !== undefined) {
      throw createError(
        Code.Unauthenticated,
        "CREDENTIALS_UNKNOWN",
        "the credentials of this call are of no kind that the server is configured for: send an API key or a token that it takes",
      );
    }
    return unknown(peer);
  };
  const unknown = (peer: Peer | undefined): Principal => (peer?.inProcess === true ? inProcess : options.anonymous);
  // Nobody would judge them, so what a call shows is not looked at.
  const judgesNobody = options.authenticators.length === 0;
  return (next) => (request) => {
    const peer = request.contextValues.get(peerKey);
    if (judgesNobody) {
      request.contextValues.set(principalKey, unknown(peer));
      return next(request);
    }
    let principal: Principal | Promise<Principal>;
    try {
      principal = principalOf(credentialsOf(request.header, peer), peer);
    } catch (error) {
      return Promise.reject(error);
    }
    if (principal instanceof Promise) {
      return principal.then((known) => {
        request.contextValues.set(principalKey, known);
        return next(request);
      });
    }
    request.contextValues.set(principalKey, principal);
    return next(request);
  };
}

function credentialsOf(header: Headers, peer: Peer | undefined): Credentials {
  const bearer = /^bearer +(.*)$/i.exec(header.get("authorization") ?? "")?.[1];
  const apiKey = header.get("x-api-key");
  return {
    ...(bearer !== undefined && { bearer }),
    ...(apiKey !== null && { apiKey }),
    ...(peer?.certificate !== undefined && { certificate: peer.certificate }),
    source: peer?.address ?? "",
  };
}
