import { describe, expect, it } from "vitest";
import type { Workflow } from "../../../src/contract/index.ts";
import { gate } from "../../../src/interceptors/run/index.ts";
import type { EndpointSlots, Pausable, PermitRequest, RunRequest, Turn } from "../../../src/runs/index.ts";

function workflowWith(limit: number): Workflow {
  const concurrency = { limit, perPrincipal: Number.POSITIVE_INFINITY };
  return { name: "a.B/C", policy: { concurrency } } as unknown as Workflow;
}

function slots(endpoint: string, count: number): EndpointSlots {
  return { endpoint, key: `endpoint/${endpoint}`, slots: count };
}

describe("the permit of an attempt that waits for a child", () => {
  it("is asked for anew at its own endpoint, under the slots and limits of that moment", async () => {
    let endpoints = [slots("gpu:1", 2), slots("gpu:2", 1)];
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
      endpoints = [slots("gpu:2", 1), slots("gpu:1", 0)];
      today = workflowWith(7);
      for (const each of pausables) await each.resume();
      return { kind: "blocked", gate: "", reason: "" };
    })(request);
    expect(asked[1]?.endpoints).toEqual([slots("gpu:1", 0)]);
    expect(asked[1]).toMatchObject({ runId: "run", priority: 3 });
    expect(asked.map(({ limits }) => limits.map(({ limit }) => limit))).toEqual([
      [10, 5],
      [10, 7],
    ]);
  });
});
