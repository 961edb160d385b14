import { expect } from "vitest";
import { HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import type { Connection } from "./connection.ts";

export { ServingStatus };

/** Waits for a state of the server as everybody can: by watching it. */
export async function untilHealth({ health }: Connection, wanted: ServingStatus): Promise<void> {
  for await (const { status } of health.watch({ service: "" })) {
    if (status === wanted) {
      return;
    }
  }
  expect.unreachable(`the health service stopped before it said ${ServingStatus[wanted]}`);
}

/** The HTTP status of a probe on the web port. */
export async function probe(webPort: number, path: "/healthz" | "/readyz"): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${webPort}${path}`);
  await response.body?.cancel();
  return response.status;
}
