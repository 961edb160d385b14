import type { createServer, ServerOptions } from "../../src/index.ts";
import { withFileArtifacts } from "../../src/runs/artifact-files/index.ts";
import { openSqliteThread } from "../../src/runs/sqlite/index.ts";
import { listen } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** Well within what a server in trouble is late by, so that it is seen at once. */
const threshold = { nanos: 50_000_000 };

/** A server whose runs take no time, and whose journal is in trouble, or whose event loop gets into it by `burn`. */
export function startShedding(
  create: typeof createServer,
  { directory, trouble }: ManyOrder & { kind: "shedding" },
): Promise<ManyReady> {
  return listen(
    create,
    {
      dataDirectory: directory,
      log: { level: "error" },
      overload: trouble === "journal" ? { commitDelay: threshold } : { eventLoopDelay: threshold },
    },
    { plain: () => ({}), keyed: () => ({}) },
    trouble === "journal" ? stuckDisk : {},
  );
}

const stuckDisk: ServerOptions = {
  openStorage: async ({ dataDirectory: directory, artifacts: { maxBytes } }, clock) =>
    withFileArtifacts(
      await openSqliteThread({ directory, clock, syncModule: new URL("./stuck-sync.ts", import.meta.url) }),
      { directory, clock, maxBytes },
    ),
};
