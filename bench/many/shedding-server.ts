import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { createServer, ServerOptions } from "../../src/index.ts";
import { withFileArtifacts } from "../../src/runs/artifact-files/index.ts";
import { openSqliteThread } from "../../src/runs/sqlite/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** Well within what a server in trouble is late by, so that it is seen at once. */
const threshold = { nanos: 50_000_000 };

/** A server whose runs take no time, and whose journal is in trouble, or whose event loop gets into it by `burn`. */
export async function startShedding(
  create: typeof createServer,
  { directory, trouble }: ManyOrder & { kind: "shedding" },
): Promise<ManyReady> {
  const startMs = performance.now();
  const server = create(
    {
      dataDirectory: directory,
      grpc: { port: 0 },
      web: { disabled: true },
      log: { level: "error" },
      security: { anonymousLevel: AccessLevel.ADMIN },
      overload: trouble === "journal" ? { commitDelay: threshold } : { eventLoopDelay: threshold },
    },
    trouble === "journal" ? stuckDisk : {},
  );
  server.implement(WorkflowsService, {
    plain: () => ({}),
    keyed: () => ({}),
    once: unused,
    flaky: unused,
    streaming: unused,
    limited: unused,
    hurried: unused,
    forwarding: unused,
  });
  await server.listen();
  if (server.grpc === undefined) {
    throw new Error("the server does not listen");
  }
  return { port: server.grpc.port, listenMs: performance.now() - startMs };
}

const stuckDisk: ServerOptions = {
  openStorage: async ({ dataDirectory: directory, artifacts: { maxBytes } }, clock) =>
    withFileArtifacts(
      await openSqliteThread({ directory, clock, syncModule: new URL("./stuck-sync.ts", import.meta.url) }),
      { directory, clock, maxBytes },
    ),
};

function unused(): never {
  throw new Error("the bench calls another workflow");
}
