import { describe, expect, it } from "vitest";
import type { Workflow } from "../../../src/contract/index.ts";
import { gate } from "../../../src/interceptors/run/index.ts";
import type { EndpointSlots, Pausable, PermitRequest, RunRequest, Turn } from "../../../src/runs/index.ts";

function workflowWith(limit: number): Workflow {
  const concurrency = { limit, perPrincipal: Number.POSITIVE_INFINITY };
  return { name: "a.B/C", policy: { concurrency } } as unknown as Workflow;
}

describe("the permit of an attempt that waits for a child", () => {
  it("is asked for anew at the endpoints, and under the limits, of that moment", async () => {
    let endpoints: EndpointSlots[] = [{ endpoint: "gpu:1", key: "endpoint/gpu:1", slots: 2 }];
    let today: Workflow | undefined;
    const asked: PermitRequest[] = [];
    const stage = gate({
      gates: {
        acquire: async (request) => {
          asked.push(request);
          return { kind: "permit", runId: request.runId, endpoint: request.endpoints[0]?.endpoint ?? "" };
        },
        release: () => undefined,
        withdraw: () => undefined,
        setSlots: () => undefined,
        place: () => undefined,
        holders: () => [],
        waiting: () => 0,
        isFull: () => false,
      },
      pauses: { of: () => undefined, keeps: () => false },
      breakers: { of: () => undefined, withdraw: () => undefined },
      retryBudgets: { of: () => undefined, withdraw: () => undefined },
      concurrencyLimit: 10,
      endpoints: () => endpoints,
      workflow: () => today,
    });
    const pausables: Pausable[] = [];
    const request = {
      run: { accepted: { runId: "run", priority: 3 } },
      workflow: workflowWith(5),
      turn: { pausables, abortReason: undefined } as unknown as Turn,
    } as unknown as RunRequest;
    await stage(async () => {
      for (const each of pausables) each.pause();
      endpoints = [{ endpoint: "gpu:1", key: "endpoint/gpu:1", slots: 0 }];
      today = workflowWith(7);
      for (const each of pausables) await each.resume();
      return { kind: "blocked", gate: "", reason: "" };
    })(request);
    expect(asked.map(({ endpoints: [first] }) => first?.slots)).toEqual([2, 0]);
    expect(asked[1]).toMatchObject({ runId: "run", priority: 3 });
    expect(asked.map(({ limits }) => limits.map(({ limit }) => limit))).toEqual([
      [10, 5],
      [10, 7],
    ]);
  });
});
