import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import {
  AccessLevel,
  FailureCategory,
  Quality,
  RecoveryAction,
  type WorkflowPolicySchema,
} from "../../gen/retake/v1/options_pb.js";
import { createServer, type ServerOptions, step, type WorkflowImpl } from "../../src/index.ts";
import { withFileArtifacts } from "../../src/runs/artifact-files/index.ts";
import { openSqliteThread } from "../../src/runs/sqlite/index.ts";
import { PlainResponseSchema, WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { plainPath } from "./plain-method.ts";
import type { BenchServer } from "./server.ts";

const plainWorkflow = plainPath.slice(1);

export interface WorkflowsOptions {
  readonly directory: string;
  /** Durable steps in each run. */
  readonly steps: number;
  /** Whether the policy of the workflow uses every stage; nothing fails. Default: false. */
  readonly fullChain?: boolean;
  /** Whether the server makes metrics, and keeps them. Default: true. */
  readonly measured?: boolean;
  /** Whether each sync takes longer. Default: false. */
  readonly slowSync?: boolean;
  /**
   * "none": everybody may do everything, and nothing is on record; "all": calls show a key, the workflow is not for
   * everybody, and its starts are on record. Default: everybody may do everything, with the defaults otherwise.
   */
  readonly security?: "none" | "all";
}

/** The server as its users have it, with a workflow that does nothing but its steps. */
export async function startWorkflows({
  directory,
  steps,
  fullChain = false,
  measured = true,
  slowSync = false,
  security,
}: WorkflowsOptions): Promise<BenchServer> {
  const server = createServer(
    {
      dataDirectory: directory,
      grpc: { port: 0 },
      web: { disabled: true },
      log: { level: "warn" },
      telemetry: { disabled: !measured },
      workflows: fullChain
        ? { [plainWorkflow]: everyStage }
        : security === "all"
          ? { [plainWorkflow]: { access: { min: AccessLevel.AUTHENTICATED } } }
          : {},
      security: {
        anonymousLevel: security === "all" ? AccessLevel.PUBLIC : AccessLevel.ADMIN,
        audit: { disabled: security === "none" },
      },
    },
    slowSync ? slowDisk : {},
  );
  server.implement(WorkflowsService, handlers(steps));
  await server.listen();
  if (server.grpc === undefined) {
    throw new Error("the server does not listen");
  }
  const headers = security === "all" ? await keyHeaders(server.transport) : [];
  return { port: server.grpc.port, headers, close: () => server.close({ drainTimeoutMs: 1000 }) };
}

/** What makes every stage look at each run, and none of them do anything. */
const everyStage: MessageInitShape<typeof WorkflowPolicySchema> = {
  timeout: { seconds: 3600n },
  attemptTimeout: { seconds: 600n },
  progressTimeout: { seconds: 300n },
  retry: {
    maxAttempts: 4,
    retryableStatusCodes: ["UNAVAILABLE"],
    retryableCategories: [FailureCategory.MEMORY],
    lowerQuality: true,
  },
  circuitBreaker: { errorThresholdPercentage: 50, volumeThreshold: 5 },
  concurrency: { limit: 1000, queueLimit: 1000, perPrincipal: 1000 },
  quality: { min: Quality.LOW, lowerAfterFailures: 3 },
  fallbacks: [plainWorkflow.replace(/Plain$/, "Limited")],
  recovery: { rules: [{ categories: [FailureCategory.MEMORY], action: RecoveryAction.FREE_MEMORY }] },
};

function handlers(steps: number): WorkflowImpl<typeof WorkflowsService> {
  const unused = (): never => {
    throw new Error("the bench calls another workflow");
  };
  return {
    async plain(_, context) {
      for (let number = 1; number <= steps; number++) {
        await step(context, `step ${number}`, PlainResponseSchema, () => ({}));
      }
      return {};
    },
    keyed: unused,
    flaky: unused,
    streaming: unused,
    limited: unused,
    hurried: unused,
    once: unused,
    forwarding: unused,
  };
}

/** The storage of a server on a disk whose syncs take `slowSyncDelayMs` longer. */
const slowDisk: ServerOptions = {
  openStorage: async ({ dataDirectory: directory, artifacts: { maxBytes } }, clock) =>
    withFileArtifacts(
      await openSqliteThread({ directory, clock, syncModule: new URL("./slow-sync.ts", import.meta.url) }),
      { directory, clock, maxBytes },
    ),
};

/** A key of the server's own making, as each call shows it; nothing where the server knows no keys. */
async function keyHeaders(transport: Transport): Promise<readonly (readonly [string, string])[]> {
  const admin = createClient(AdminService, transport) as unknown as Partial<KeyMaker>;
  const made = await admin.createApiKey?.({ label: "bench", subject: "bench", level: AccessLevel.AUTHENTICATED });
  return made === undefined ? [] : [["authorization", `Bearer ${made.key}`]];
}

interface KeyMaker {
  createApiKey(request: object): Promise<{ readonly key: string }>;
}
