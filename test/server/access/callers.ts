import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Authenticator, Principal } from "../../../src/security/index.ts";
import type { RetakeServer } from "../../../src/server/index.ts";
import { createGrpcTransport } from "../../../src/transport/index.ts";

/** Somebody who calls, with what credentials say of them. */
export type Caller = Partial<Omit<Principal, "workflows" | "isCurrent">> & { readonly workflows?: readonly string[] };

/** Believes whatever an API key of its form says: for tests of what comes behind the authentication. */
export function credulous(
  revoked: ReadonlySet<string> = new Set(),
): Authenticator & { readonly principals: ReadonlyMap<string, Principal> } {
  const principals = new Map<string, Principal>();
  return {
    principals,
    authenticate({ apiKey }) {
      if (apiKey?.startsWith("{") !== true) return undefined;
      const known = principals.get(apiKey);
      if (known !== undefined) return known;
      const { workflows, ...said } = JSON.parse(apiKey) as Caller;
      const principal: Principal = {
        tenant: "default",
        subject: "somebody",
        level: AccessLevel.AUTHENTICATED,
        groups: [],
        authentication: "api_key",
        ...said,
        ...(workflows && { workflows: new Set(workflows) }),
        isCurrent: () => !revoked.has(principal.subject),
      };
      principals.set(apiKey, principal);
      return principal;
    },
  };
}

/** How one kind of credentials is shown: as metadata. Undefined for no credentials. */
export type ShowCredentials = (
  caller: Caller,
) => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>;

export const asApiKey = (caller: Caller): Readonly<Record<string, string>> => ({ "x-api-key": JSON.stringify(caller) });

export type Front = "gRPC" | "Connect" | "gRPC-Web" | "in process";

export const fronts: readonly Front[] = ["gRPC", "Connect", "gRPC-Web", "in process"];

/** Ways into a server for callers who show these. To be closed. */
export function transportTo(
  server: RetakeServer,
  front: Front,
  shown: Readonly<Record<string, string>>,
): Transport & { close(): void } {
  const show: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(shown)) request.header.set(name, value);
    return next(request);
  };
  const baseUrl = `http://127.0.0.1:${server.web?.port}`;
  const options = { baseUrl, httpVersion: "1.1" as const, interceptors: [show] };
  const close = () => undefined;
  switch (front) {
    case "gRPC":
      return createGrpcTransport({ target: `127.0.0.1:${server.grpc?.port}`, interceptors: [show] });
    case "Connect":
      return { ...createConnectTransport(options), close };
    case "gRPC-Web":
      return { ...createGrpcWebTransport(options), close };
    case "in process":
      return {
        unary: (method, signal, timeoutMs, header, input, values) =>
          server.transport.unary(method, signal, timeoutMs, { ...plain(header), ...shown }, input, values),
        stream: (method, signal, timeoutMs, header, input, values) =>
          server.transport.stream(method, signal, timeoutMs, { ...plain(header), ...shown }, input, values),
        close,
      };
  }
}

function plain(header: ConstructorParameters<typeof Headers>[0]): Record<string, string> {
  return Object.fromEntries(new Headers(header));
}
