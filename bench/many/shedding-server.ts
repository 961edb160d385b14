import type { createServer, ServerOptions } from "../../src/index.ts";
import { withFileArtifacts } from "../../src/runs/artifact-files/index.ts";
import { openSqliteThread } from "../../src/runs/sqlite/index.ts";
import { fillHeap } from "./fill-heap.ts";
import { listen } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** Well within what a server in trouble is late by, so that it is seen at once. */
const threshold = { nanos: 50_000_000 };
/** What runs take on top of what is held makes no difference. Near the heap's end V8 collects on and on, for 15 ms each time. */
const memoryPercentage = 70;
const heldShare = 0.78;
/** So that none of what is refused is so for another trouble than the one that is measured. */
const never = { seconds: 60n };

const overloads = {
  journal: { commitDelay: threshold, eventLoopDelay: never },
  memory: { memoryPercentage, eventLoopDelay: never, commitDelay: never },
  "event-loop": { eventLoopDelay: threshold, commitDelay: never },
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
