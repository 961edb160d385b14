import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { createServer, WorkflowContext } from "../../src/index.ts";
import { burn } from "./burn.ts";
import { listen, workflow } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** A run takes so many pieces of work … */
const pieces = 4;
/** … each of which keeps a core busy for so long, and waits for something else for so long. */
const busyMs = 0.25;
const idleMs = 8;

type WorkingOrder = ManyOrder & { kind: "working" };

/** `Plain` works, and `Flaky` fails at its first attempt. */
export function startWorkingWorkflows(
  create: typeof createServer,
  { directory, limit, queueLimit }: WorkingOrder,
): Promise<ManyReady> {
  const workflows = {
    [workflow("Plain")]: { concurrency: { limit, queueLimit } },
    [workflow("Flaky")]: { retry: { initialBackoff: { nanos: 100_000_000 } } },
  };
  return listen(
    create,
    { dataDirectory: directory, workflows },
    {
      async plain() {
        for (let piece = 0; piece < pieces; piece++) {
          burn(busyMs);
          await sleep(idleMs);
        }
        return {};
      },
      flaky: (_, context) => ({ attempts: attemptOf(context) }),
    },
  );
}

function attemptOf({ run }: WorkflowContext): number {
  if (run.attempt === 1) {
    throw new ConnectError("the first attempt fails", Code.Unavailable);
  }
  return run.attempt;
}
