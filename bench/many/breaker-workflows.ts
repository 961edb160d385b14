import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { createServer } from "../../src/index.ts";
import { listen, workflow } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";
import type { Work } from "./work.ts";

/** Long enough for runs to be at work at the same time. */
const workMs = 1;

/** Opened after as many attempts that fail, and left open. */
export const failuresToOpen = 5;
const circuitBreaker = { volumeThreshold: failuresToOpen, resetTimeout: { seconds: 3600n } };

/** `Plain` has a fallback where its back-end is dead, and `Once` has none. */
export function startBreakerWorkflows(
  create: typeof createServer,
  { directory, limit, dead }: ManyOrder & { kind: "breaker" },
  work: Work,
): Promise<ManyReady> {
  const workflows = {
    [workflow("Plain")]: {
      circuitBreaker,
      concurrency: { limit, queueLimit: 1_000_000 },
      fallbacks: dead ? [workflow("Keyed")] : [],
    },
    [workflow("Once")]: { circuitBreaker },
  };
  const attempt = async (): Promise<object> => {
    if (dead) {
      throw new ConnectError("the back-end is dead", Code.Unavailable);
    }
    work.begin();
    await sleep(workMs);
    work.end();
    return {};
  };
  const handlers = { plain: attempt, once: attempt, keyed: () => ({}) };
  return listen(create, { dataDirectory: directory, log: { level: "error" }, workflows }, handlers);
}
