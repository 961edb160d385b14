import type { createServer } from "../../src/index.ts";
import type { Hold } from "./hold.ts";
import { listen, workflow } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** `Plain` and `Once` wait to be released, and `Streaming` says a line each time it shall. */
export function startHeldWorkflows(
  create: typeof createServer,
  { directory, held, limit }: ManyOrder & { kind: "retake" },
  hold: Hold,
): Promise<ManyReady> {
  const concurrency = { queueLimit: 1_000_000, ...(limit === undefined ? {} : { limit }) };
  const config = { dataDirectory: directory, workflows: { [workflow("Plain")]: { concurrency } } };
  const attempt = async (): Promise<object> => {
    if (held) {
      await hold.wait();
    }
    return {};
  };
  return listen(create, config, {
    plain: attempt,
    once: attempt,
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
  });
}
