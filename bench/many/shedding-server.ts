import type { createServer, ServerOptions } from "../../src/index.ts";
import { withFileArtifacts } from "../../src/runs/artifact-files/index.ts";
import { openSqliteThread } from "../../src/runs/sqlite/index.ts";
import { fillHeap } from "./fill-heap.ts";
import { listen } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** Well within what a server in trouble is late by, so that it is seen at once. */
const threshold = { nanos: 50_000_000 };
/**
 * What runs take on top of what is held makes no difference. Of the limit that both are shares of, V8 gives a part to young
 * objects alone: four fifths of the rest are held. Near its end V8 collects on and on, for 15 ms each time.
 */
const memoryPercentage = 60;
const heldShare = 0.66;

const overloads = {
  journal: { commitDelay: threshold },
  memory: { memoryPercentage },
  "event-loop": { eventLoopDelay: threshold },
};

/** A server whose runs take no time, and whose journal or memory is in trouble, or whose event loop gets into it by `burn`. */
export async function startShedding(
  create: typeof createServer,
  { directory, trouble }: ManyOrder & { kind: "shedding" },
): Promise<ManyReady> {
  const ready = await listen(
    create,
    { dataDirectory: directory, log: { level: "error" }, overload: overloads[trouble] },
    { plain: () => ({}), keyed: () => ({}) },
    trouble === "journal" ? stuckDisk : {},
  );
  if (trouble === "memory") {
    fillHeap(heldShare);
  }
  return ready;
}

const stuckDisk: ServerOptions = {
  openStorage: async ({ dataDirectory: directory, artifacts: { maxBytes } }, clock) =>
    withFileArtifacts(
      await openSqliteThread({ directory, clock, syncModule: new URL("./stuck-sync.ts", import.meta.url) }),
      { directory, clock, maxBytes },
    ),
};
