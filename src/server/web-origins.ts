import { cors } from "@connectrpc/connect";
import type { FastifyInstance } from "fastify";

/** What is answered besides the protocols' own. */
const exposedHeaders = [
  ...cors.exposedHeaders,
  "retake-run-id",
  "grpc-retry-pushback-ms",
  "retry-after",
  "trailer-retake-run-id",
  "trailer-retake-quality",
  // Of artifacts.
  "accept-ranges",
  "content-disposition",
  "content-range",
  "etag",
].join(", ");

const allowedMethods = cors.allowedMethods.join(", ");
/** How long a browser may remember the answer to a preflight, in seconds: the longest that Chromium takes. */
const maxAgeSeconds = "7200";

/** Lets web pages of these origins call, with any headers: those that workflows forward are known to them alone. */
export function allowOrigins(server: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) {
    return;
  }
  const allowed = new Set(origins);
  server.addHook("onRequest", async (request, reply) => {
    const { origin, "access-control-request-headers": wanted } = request.headers;
    // Also where the origin is refused, or a cache would answer one with what was meant for another.
    reply.header("vary", "Origin");
    if (origin === undefined || !allowed.has(origin)) {
      return;
    }
    reply.header("access-control-allow-origin", origin).header("access-control-expose-headers", exposedHeaders);
    if (request.method === "OPTIONS") {
      reply.header("access-control-allow-methods", allowedMethods).header("access-control-max-age", maxAgeSeconds);
      if (typeof wanted === "string") {
        reply.header("access-control-allow-headers", wanted);
      }
      await reply.code(204).send();
    }
  });
}
