import type { createServer } from "../../src/index.ts";
import { WorkloadService } from "../../test/gen/retake/test/e2e/v1/workload_pb.js";
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { listenWith, workflow } from "./listen.ts";
import type { ManyOrder, ManyReady } from "./server-messages.ts";

/** A breaker opens after as many attempts that fail, and stays open: there is no trial while it is measured. */
export const failuresToOpen = 5;
const circuitBreaker = { volumeThreshold: failuresToOpen, resetTimeout: { seconds: 3600n } };

/** `Plain` and `Once` are made at the back-end; where that fails, the server itself answers for `Plain`. */
export function startRemoteWorkflows(
  create: typeof createServer,
  { directory, backendPort }: ManyOrder & { kind: "remote" },
): Promise<ManyReady> {
  const config = {
    dataDirectory: directory,
    log: { level: "error" },
    workflows: {
      [workflow("Plain")]: { circuitBreaker, fallbacks: [`${WorkloadService.typeName}/Single`] },
      [workflow("Once")]: { circuitBreaker },
    },
    backends: [{ service: WorkflowsService.typeName, endpoints: [{ target: `127.0.0.1:${backendPort}` }] }],
  };
  const unused = (): never => {
    throw new Error("the bench calls another workflow");
  };
  return listenWith(create, config, (server) => {
    server.serve(WorkflowsService);
    server.implement(WorkloadService, {
      single: () => ({}),
      steps: unused,
      stream: unused,
      flaky: unused,
      family: unused,
      held: unused,
    });
  });
}
