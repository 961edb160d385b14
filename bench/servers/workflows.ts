import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
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
import { exportTelemetry } from "./exporting.ts";
import { plainPath } from "./plain-method.ts";
import type { BenchServer } from "./server.ts";
import { makeToken } from "./token.ts";

const plainWorkflow = plainPath.slice(1);

export interface WorkflowsOptions {
  readonly directory: string;
  /** Durable steps in each run. */
  readonly steps: number;
  /** Whether every stage has something to look at in each run; nothing fails. Default: false. */
  readonly fullChain?: boolean;
  /** Whether the server makes metrics, and keeps them. Default: true. */
  readonly measured?: boolean;
  /** Whether all of the telemetry is exported, too. Default: false. */
  readonly exported?: boolean;
  /** Whether each sync takes longer. Default: false. */
  readonly slowSync?: boolean;
  /**
   * "none": everybody may do everything, and nothing is on record; else what calls show, where the workflow is not for
   * everybody, and its starts are on record. Default: everybody may do everything, with the defaults otherwise.
   */
  readonly security?: "none" | "key" | "token";
}

/** The server as its users have it, with a workflow that does nothing but its steps. */
export async function startWorkflows({
  directory,
  steps,
  fullChain = false,
  measured = true,
  exported = false,
  slowSync = false,
  security,
}: WorkflowsOptions): Promise<BenchServer> {
  const stopExporting = exported ? await exportTelemetry() : undefined;
  const secured = security === "key" || security === "token";
  const token = security === "token" ? await makeToken(directory) : undefined;
  const server = createServer(
    {
      dataDirectory: directory,
      grpc: { port: 0 },
      web: { disabled: true },
      log: { level: "warn" },
      telemetry: { disabled: !measured },
      ...(secured && { workflows: { [plainWorkflow]: { access: { min: AccessLevel.AUTHENTICATED } } } }),
      ...(fullChain && everyStage()),
      security: {
        anonymousLevel: secured ? AccessLevel.PUBLIC : AccessLevel.ADMIN,
        jwt: token === undefined ? [] : [token.jwt],
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
  const shown = security === "key" ? await makeKey(server.transport) : token?.text;
  return {
    port: server.grpc.port,
    headers: shown === undefined ? [] : [["authorization", `Bearer ${shown}`]],
    async close() {
      await server.close({ drainTimeoutMs: 1000 });
      stopExporting?.();
    },
  };
}

/** What makes every stage look at each run, and none of them do anything. */
function everyStage() {
  return {
    concurrencyLimit: 10_000,
    workflows: { [plainWorkflow]: fullPolicy },
    backends: [
      { service: WorkflowsService.typeName, endpoints: [{ target: "in-process", slots: 1000 }], retryBudget: {} },
    ],
    faults: [
      {
        workflow: plainWorkflow,
        // The dice are thrown for each attempt, and none of a bench is hit.
        percentage: 1e-9,
        effect: { case: "status", value: { code: "UNAVAILABLE" } },
        expireTime: timestampFromMs(Date.now() + 24 * 3_600_000),
      },
    ],
  } satisfies MessageInitShape<typeof ServerConfigSchema>;
}

const fullPolicy: MessageInitShape<typeof WorkflowPolicySchema> = {
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
  fallbacks: ["Limited", "Keyed"].map((method) => `${WorkflowsService.typeName}/${method}`),
  recovery: {
    rules: [
      { categories: [FailureCategory.MEMORY], action: RecoveryAction.FREE_MEMORY },
      { categories: [FailureCategory.MODEL], action: RecoveryAction.RELOAD_MODEL },
      { categories: [FailureCategory.NETWORK], action: RecoveryAction.RECONNECT },
    ],
  },
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
    once: () => ({}),
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

/** A key of the server's own making. */
async function makeKey(transport: Transport): Promise<string> {
  const admin = createClient(AdminService, transport);
  const { key } = await admin.createApiKey({ label: "bench", subject: "bench", level: AccessLevel.AUTHENTICATED });
  return key;
}
