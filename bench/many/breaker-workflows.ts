import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { createServer } from "../../src/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import type { ManyOrder, ManyReady } from "./server-messages.ts";
import type { Work } from "./work.ts";

/** Long enough for runs to be at work at the same time. */
const workMs = 1;

/** Opened after as many attempts that fail, and left open. */
export const failuresToOpen = 5;
const circuitBreaker = { volumeThreshold: failuresToOpen, resetTimeout: { seconds: 3600n } };

/** `Plain` has a fallback where its back-end is dead, and `Once` has none. */
export async function startBreakerWorkflows(
  create: typeof createServer,
  { directory, limit, dead }: ManyOrder & { kind: "breaker" },
  work: Work,
): Promise<ManyReady> {
  const startMs = performance.now();
  const server = create({
    dataDirectory: directory,
    grpc: { port: 0 },
    web: { disabled: true },
    log: { level: "error" },
    security: { anonymousLevel: AccessLevel.ADMIN },
    workflows: {
      [workflow("Plain")]: {
        circuitBreaker,
        concurrency: { limit, queueLimit: 1_000_000 },
        fallbacks: dead ? [workflow("Keyed")] : [],
      },
      [workflow("Once")]: { circuitBreaker },
    },
  });
  const attempt = async (): Promise<object> => {
    if (dead) {
      throw new ConnectError("the back-end is dead", Code.Unavailable);
    }
    work.begin();
    await sleep(workMs);
    work.end();
    return {};
  };
  server.implement(WorkflowsService, {
    plain: attempt,
    once: attempt,
    keyed: () => ({}),
    flaky: unused,
    streaming: unused,
    limited: unused,
    hurried: unused,
    forwarding: unused,
  });
  await server.listen();
  if (server.grpc === undefined) {
    throw new Error("the server does not listen");
  }
  return { port: server.grpc.port, listenMs: performance.now() - startMs };
}

function workflow(name: string): string {
  return `${WorkflowsService.typeName}/${name}`;
}

function unused(): never {
  throw new Error("the bench calls another workflow");
}
