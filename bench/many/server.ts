// The process of a server of this group; it ends when the bench kills it or is gone.
import { setImmediate, setTimeout } from "node:timers/promises";
import { burn } from "./burn.ts";
import { Hold } from "./hold.ts";
import type { ManyOrder, ManyReady, ManyWish, MemoryUse } from "./server-messages.ts";
import type { WatchedSeries } from "./watched-series.ts";
import { Work } from "./work.ts";

const order = JSON.parse(process.argv[2] ?? "") as ManyOrder;
const hold = new Hold();
const work = new Work();
let level: ((value: number) => void) | undefined;
let watched: WatchedSeries | undefined;
const ready = await start();

process.on("message", async (wish: ManyWish) => {
  process.send?.(await carryOut(wish));
});
process.on("disconnect", () => process.exit());
process.send?.(ready);

async function start(): Promise<ManyReady> {
  if (order.kind === "bare") {
    const { startBare } = await import("./bare-server.ts");
    return startBare(hold);
  }
  if (order.kind === "durable") {
    const { startDurableReference } = await import("../servers/durable-reference.ts");
    const { port } = await startDurableReference(order.directory);
    return { port, webPort: 0, listenMs: 0 };
  }
  // Imported here, because what a process loads is a part of what it takes.
  if (order.kind === "breaker") {
    const { createServer } = await import("../../src/index.ts");
    const { startBreakerWorkflows } = await import("./breaker-workflows.ts");
    return startBreakerWorkflows(createServer, order, work);
  }
  if (order.kind === "remote") {
    const { createServer } = await import("../../src/index.ts");
    const { startRemoteWorkflows } = await import("./remote-workflows.ts");
    return startRemoteWorkflows(createServer, order);
  }
  if (order.kind === "working") {
    const { createServer } = await import("../../src/index.ts");
    const { startWorkingWorkflows } = await import("./working-workflows.ts");
    return startWorkingWorkflows(createServer, order);
  }
  if (order.kind === "shedding") {
    const { createServer } = await import("../../src/index.ts");
    const { startShedding } = await import("./shedding-server.ts");
    return startShedding(createServer, order);
  }
  if (order.kind === "alerting") {
    const { createServer } = await import("../../src/index.ts");
    const { setLevel, startAlerting } = await import("./alerting-server.ts");
    level = setLevel;
    return startAlerting(createServer, order);
  }
  if (order.kind === "scraped") {
    const { createServer } = await import("../../src/index.ts");
    const { startScraped } = await import("./scraped-server.ts");
    return startScraped(createServer, order);
  }
  if (order.kind === "series") {
    const { WatchedSeries } = await import("./watched-series.ts");
    watched = await WatchedSeries.open();
    return { port: 0, webPort: 0, listenMs: 0 };
  }
  const { createServer } = await import("../../src/index.ts");
  const { startHeldWorkflows } = await import("./held-workflows.ts");
  return startHeldWorkflows(createServer, order, hold);
}

async function carryOut(wish: ManyWish): Promise<unknown> {
  switch (wish.kind) {
    case "memory":
      return memoryUse();
    case "release":
      hold.release();
      return {};
    case "held":
      return hold.size;
    case "progress":
      return work.progress();
    case "emit":
      for (let number = 0; number < wish.count; number++) {
        hold.emit();
        await setTimeout(wish.intervalMs);
      }
      return {};
    case "burn":
      for (let number = 0; number < wish.count; number++) {
        burn(wish.burnMs);
        await setImmediate();
      }
      return {};
    case "level":
      level?.(wish.value);
      return {};
    case "fill":
      await watched?.fill(wish.series);
      return {};
    case "evaluate":
      return watched?.evaluate(wish.rules, wish.rounds);
  }
}

async function memoryUse(): Promise<MemoryUse> {
  // Twice, with a turn in between: finalisers free what the first has found. As a last resort V8 gives back its empty
  // pages, too: how many it keeps depends on how quickly garbage came, and not on how much there is of anything.
  for (let count = 0; count < 2; count++) {
    global.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
    await setTimeout(200);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { residentBytes: rss, reachableBytes: heapUsed + external };
}
