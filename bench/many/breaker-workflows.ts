import { setTimeout as sleep } from "node:timers/promises";
import type { createServer } from "../../src/index.ts";
import { listen, workflow } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";
import type { Work } from "./work.ts";

/** Long enough for runs to be at work at the same time. */
const workMs = 1;

/** `Plain` has a breaker, and works for a moment. */
export function startBreakerWorkflows(
  create: typeof createServer,
  { directory, limit }: ManyOrder & { kind: "breaker" },
  work: Work,
): Promise<ManyReady> {
  const workflows = {
    [workflow("Plain")]: { circuitBreaker: {}, concurrency: { limit, queueLimit: 1_000_000 } },
  };
  const plain = async (): Promise<object> => {
    work.begin();
    await sleep(workMs);
    work.end();
    return {};
  };
  return listen(create, { dataDirectory: directory, log: { level: "error" }, workflows }, { plain });
}
