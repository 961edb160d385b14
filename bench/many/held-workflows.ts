import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { createServer, WorkflowImpl } from "../../src/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import type { Hold } from "./hold.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** The server as its users have it; `Plain` waits to be released, and `Streaming` says a line each time it shall. */
export async function startHeldWorkflows(
  create: typeof createServer,
  { directory, held, limit }: ManyOrder & { kind: "retake" },
  hold: Hold,
): Promise<ManyReady> {
  const startMs = performance.now();
  const server = create({
    dataDirectory: directory,
    grpc: { port: 0 },
    web: { disabled: true },
    log: { level: "warn" },
    security: { anonymousLevel: AccessLevel.ADMIN },
    workflows: {
      [`${WorkflowsService.typeName}/Plain`]: {
        concurrency: { queueLimit: 1_000_000, ...(limit === undefined ? {} : { limit }) },
      },
    },
  });
  server.implement(WorkflowsService, handlers(held, hold));
  await server.listen();
  if (server.grpc === undefined) {
    throw new Error("the server does not listen");
  }
  return { port: server.grpc.port, listenMs: performance.now() - startMs };
}

function handlers(held: boolean, hold: Hold): WorkflowImpl<typeof WorkflowsService> {
  const unused = (): never => {
    throw new Error("the bench calls another workflow");
  };
  return {
    async plain() {
      if (held) {
        await hold.wait();
      }
      return {};
    },
    async *streaming() {
      let due = 0;
      let wake = Promise.withResolvers<void>();
      hold.onEmit(() => {
        due++;
        wake.resolve();
      });
      for (;;) {
        await wake.promise;
        wake = Promise.withResolvers<void>();
        for (; due > 0; due--) {
          yield { update: { case: "line" as const, value: "a line" } };
        }
      }
    },
    keyed: unused,
    flaky: unused,
    limited: unused,
    hurried: unused,
    once: unused,
    forwarding: unused,
  };
}
