import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { systemClock } from "../../../src/clock.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createServer, type RetakeServer, type WorkflowImpl } from "../../../src/server/index.ts";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { recordingLogger } from "../listening-server.ts";
import { type Caller, credulous } from "./callers.ts";

export const workflow = (name: string) => `${AccessService.typeName}/${name}`;

/** Somebody at each level. */
export const callers = {
  alice: { subject: "alice", level: AccessLevel.AUTHENTICATED },
  bob: { subject: "bob", level: AccessLevel.AUTHENTICATED },
  lead: { subject: "lead", level: AccessLevel.PRIVILEGED },
  stranger: { tenant: "other", subject: "alice", level: AccessLevel.AUTHENTICATED },
  otherLead: { tenant: "other", subject: "lead", level: AccessLevel.PRIVILEGED },
  admin: { subject: "root", level: AccessLevel.ADMIN },
} satisfies Record<string, Caller>;

export interface AccessServer {
  readonly server: RetakeServer;
  readonly log: ReturnType<typeof recordingLogger>["entries"];
  /** Subjects whose credentials hold no more. */
  readonly revoked: Set<string>;
}

/** A server on free ports that takes what callers say of themselves for true. */
export async function startAccessServer(
  config: MessageInitShape<typeof ServerConfigSchema> = {},
  own: WorkflowImpl<typeof AccessService> = {},
  storage = createMemoryStorage({ clock: systemClock }),
): Promise<AccessServer> {
  const log = recordingLogger();
  const revoked = new Set<string>();
  const answer = () => ({ text: "done" });
  const server = createServer({ grpc: { port: 0 }, web: { port: 0 }, ...config } as typeof config, {
    openStorage: () => ({ ...storage, close: () => storage.journal.flush() }),
    authenticators: [credulous(revoked)],
    log,
  }).implement(AccessService, {
    public: answer,
    authenticated: answer,
    privileged: answer,
    admin: answer,
    undeclared: answer,
    grouped: answer,
    conditional: answer,
    async *streamed() {
      yield { update: { case: "text", value: "done" } };
    },
    ...own,
  });
  await server.listen();
  return { server, log: log.entries, revoked };
}
