import type { Message } from "@bufbuild/protobuf";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { createServer, ServerOptions, WorkflowImpl } from "../../src/index.ts";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import type { ManyReady } from "./server-messages.ts";

type Config = Exclude<NonNullable<Parameters<typeof createServer>[0]>, Message>;

/** Starts a server as its users have it, but for what is given, with those workflows that the bench calls. */
export function listen(
  create: typeof createServer,
  config: Config,
  handlers: Partial<WorkflowImpl<typeof WorkflowsService>>,
  options: ServerOptions = {},
): Promise<ManyReady> {
  return listenWith(
    create,
    config,
    (server) => server.implement(WorkflowsService, { ...unused, ...handlers }),
    options,
  );
}

/** The same, with whatever it is made to serve. */
export async function listenWith(
  create: typeof createServer,
  config: Config,
  serve: (server: ReturnType<typeof createServer>) => unknown,
  options: ServerOptions = {},
): Promise<ManyReady> {
  const startMs = performance.now();
  const server = create(
    {
      grpc: { port: 0 },
      web: { disabled: true },
      log: { level: "warn" },
      security: { anonymousLevel: AccessLevel.ADMIN },
      ...config,
    },
    options,
  );
  serve(server);
  await server.listen();
  if (server.grpc === undefined) {
    throw new Error("the server does not listen");
  }
  return { port: server.grpc.port, webPort: server.web?.port ?? 0, listenMs: performance.now() - startMs };
}

export function workflow(method: string): string {
  return `${WorkflowsService.typeName}/${method}`;
}

const never = (): never => {
  throw new Error("the bench calls another workflow");
};

const unused: WorkflowImpl<typeof WorkflowsService> = {
  plain: never,
  keyed: never,
  flaky: never,
  streaming: never,
  limited: never,
  hurried: never,
  once: never,
  forwarding: never,
};
