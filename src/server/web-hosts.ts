import { isIP } from "node:net";
import { Code } from "@connectrpc/connect";
import type { FastifyInstance } from "fastify";
import { createError } from "../runs/index.ts";
import { webErrorFrom } from "./web-errors.ts";

export interface HostRules {
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
}

/**
 * Answers only who asks for this server by an address or a name that is its own. A web page whose name is made to point here
 * is of the same origin as this server for its browser, which then asks nobody for leave; but it says by which name it asks.
 */
export function refuseStrangeHosts(server: FastifyInstance, { allowedHosts, allowedOrigins }: HostRules): void {
  const hosts = new Set(["localhost", ...allowedHosts.map((name) => name.toLowerCase())]);
  const origins = new Set(allowedOrigins);
  server.addHook("onRequest", async (request, reply) => {
    const { host, origin } = request.headers;
    const problem =
      host !== undefined && host !== "" && !isOwn(host, hosts)
        ? `this server does not answer to the name ${shown(host)}: ask for it by its address or as localhost, or name it in web.allowed_hosts of its configuration`
        : origin !== undefined && !origins.has(origin) && origin.replace(/^https?:\/\//, "") !== host
          ? `web pages of ${shown(origin)} may not call this server: name it in web.allowed_origins of its configuration if they shall`
          : undefined;
    if (problem === undefined) return;
    const { status, body, headers } = webErrorFrom(createError(Code.PermissionDenied, "HOST_NOT_ALLOWED", problem));
    await reply.code(status).headers(headers).send(body);
  });
}

/** Nobody can make an address point elsewhere. */
function isOwn(host: string, names: ReadonlySet<string>): boolean {
  const [, bracketed, plain = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  if (bracketed !== undefined) return isIP(bracketed) === 6;
  return isIP(plain) === 4 || names.has(plain.toLowerCase());
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
