import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { createServer, WorkflowContext } from "../../src/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { burn } from "./burn.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** A run takes so many pieces of work … */
const pieces = 4;
/** … each of which keeps a core busy for so long, and waits for something else for so long. */
const busyMs = 0.25;
const idleMs = 8;

type WorkingOrder = ManyOrder & { kind: "working" };

/** The server as its users have it; `Plain` works, and `Flaky` fails at its first attempt. */
export async function startWorkingWorkflows(
  create: typeof createServer,
  { directory, limit, queueLimit }: WorkingOrder,
): Promise<ManyReady> {
  const startMs = performance.now();
  const server = create({
    dataDirectory: directory,
    grpc: { port: 0 },
    web: { disabled: true },
    log: { level: "warn" },
    security: { anonymousLevel: AccessLevel.ADMIN },
    workflows: {
      [`${WorkflowsService.typeName}/Plain`]: { concurrency: { limit, queueLimit } },
      [`${WorkflowsService.typeName}/Flaky`]: { retry: { initialBackoff: { nanos: 100_000_000 } } },
    },
  });
  server.implement(WorkflowsService, {
    async plain() {
      for (let piece = 0; piece < pieces; piece++) {
        burn(busyMs);
        await sleep(idleMs);
      }
      return {};
    },
    flaky: (_, context) => ({ attempts: attemptOf(context) }),
    ...unused,
  });
  await server.listen();
  if (server.grpc === undefined) {
    throw new Error("the server does not listen");
  }
  return { port: server.grpc.port, listenMs: performance.now() - startMs };
}

function attemptOf({ run }: WorkflowContext): number {
  if (run.attempt === 1) {
    throw new ConnectError("the first attempt fails", Code.Unavailable);
  }
  return run.attempt;
}

const never = (): never => {
  throw new Error("the bench calls another workflow");
};

const unused = {
  keyed: never,
  streaming: never,
  limited: never,
  hurried: never,
  once: never,
  forwarding: never,
};
