import type { PermitRequest } from "../../../src/runs/ports/gates.ts";

/** Limits and slots by key, in order; unless given, the priority is 0, the owner always the same, the endpoint unlimited. */
export function permitRequest(
  runId: string,
  limits: Record<string, number>,
  options: { endpoints?: Record<string, number>; priority?: number; owner?: string } = {},
): PermitRequest {
  return {
    runId,
    owner: { tenant: "default", subject: options.owner ?? "somebody" },
    priority: options.priority ?? 0,
    limits: Object.entries(limits).map(([key, limit]) => ({ key, gate: `gate of ${key}`, limit })),
    endpoints: Object.entries(options.endpoints ?? { anywhere: Number.POSITIVE_INFINITY }).map(([endpoint, slots]) => ({
      endpoint,
      key: `endpoint/${endpoint}`,
      slots,
    })),
  };
}
