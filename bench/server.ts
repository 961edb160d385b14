// The process of one server: it serves, and tells what that takes, until it is told to close or the bench is gone.
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { ServerOrder, ServerReady, ServerUsage, ServerWish } from "./server-messages.ts";
import { startBareEcho } from "./servers/bare-echo.ts";
import { startBridge } from "./servers/bridge.ts";
import { startDurableReference } from "./servers/durable-reference.ts";
import type { BenchServer } from "./servers/server.ts";
import { startWorkflows } from "./servers/workflows.ts";

const { subject, directory } = JSON.parse(process.argv[2] ?? "") as ServerOrder;
const server = await start();
let cpu = process.cpuUsage();
let delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

process.on("message", (wish: ServerWish) => {
  if (wish === "usage") {
    process.send?.(usage());
  } else {
    void close();
  }
});
process.on("disconnect", () => void close());
process.send?.({ port: server.port, headers: server.headers ?? [] } satisfies ServerReady);

function start(): Promise<BenchServer> {
  switch (subject) {
    case "bare-echo":
      return startBareEcho();
    case "bridge":
      return startBridge();
    case "durable-reference":
      return startDurableReference(directory);
    case "empty-run":
    case "start-run":
      return startWorkflows({ directory, steps: 0 });
    case "unmeasured-run":
      return startWorkflows({ directory, steps: 0, measured: false });
    case "exported-run":
      return startWorkflows({ directory, steps: 0, exported: true });
    case "full-chain":
      return startWorkflows({ directory, steps: 0, fullChain: true });
    case "unsecured-run":
      return startWorkflows({ directory, steps: 0, security: "none" });
    case "key-run":
      return startWorkflows({ directory, steps: 0, security: "key" });
    case "token-run":
      return startWorkflows({ directory, steps: 0, security: "token" });
    case "three-steps":
      return startWorkflows({ directory, steps: 3 });
    case "slow-sync":
      return startWorkflows({ directory, steps: 0, slowSync: true });
  }
}

function usage(): ServerUsage {
  const { user, system } = process.cpuUsage(cpu);
  cpu = process.cpuUsage();
  delay.disable();
  const eventLoopDelayP99Ms = delay.percentile(99) / 1e6;
  // A new one, because one that is enabled again counts the time in between as delay.
  delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  return { cpuMicros: user + system, eventLoopDelayP99Ms };
}

let closing: Promise<void> | undefined;

async function close(): Promise<void> {
  closing ??= server.close();
  await closing;
  process.exit();
}
