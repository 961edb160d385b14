import { queryObjects } from "node:v8";
import { describe, expect, it } from "vitest";
import { createEmbeddedGates } from "../../../src/runs/embedded/gates.ts";
import { Pool } from "../../../src/runs/embedded/pool.ts";
import { WaitingNode } from "../../../src/runs/embedded/waiting-tree.ts";
import type { Permit, PermitRequest } from "../../../src/runs/ports/gates.ts";

describe("createEmbeddedGates", () => {
  it("gives all memory back when nobody holds or waits for anything", async () => {
    const woken: string[] = [];
    const gates = createEmbeddedGates({ scheduler: { wake: (runId) => woken.push(runId) } });
    const held: Permit[] = [];
    const ask = async (index: number) => {
      const answer = await gates.acquire({
        runId: `run ${index}`,
        owner: { tenant: "default", subject: `principal ${index % 11}` },
        priority: 0,
        limits: [
          { key: "server", gate: "server", limit: 3 },
          { key: `workflow/${index % 7}`, gate: "workflow", limit: 2 },
          { key: `unlimited/${index % 5}`, gate: "workflow", limit: Number.POSITIVE_INFINITY },
        ],
        endpoints: [
          { endpoint: "x", key: "endpoint/x", slots: 2 },
          { endpoint: `y${index % 2}`, key: `endpoint/y${index % 2}`, slots: Number.POSITIVE_INFINITY },
        ],
      });
      if (answer.kind === "permit") {
        held.push(answer);
      }
    };
    for (let index = 0; index < 100; index++) {
      await ask(index);
    }
    gates.withdraw("run 50");
    expect(queryObjects(Pool)).toBeGreaterThan(0);
    expect(queryObjects(WaitingNode)).toBeGreaterThan(1);

    let served = 0;
    for (let permit = held.pop(); permit !== undefined; permit = held.pop()) {
      gates.release(permit);
      for (; woken.length > 0; served++) {
        await ask(Number(woken.shift()?.slice("run ".length)));
      }
    }

    expect(served).toBe(96);
    expect(queryObjects(Pool)).toBe(0);
    // The root of the tree.
    expect(queryObjects(WaitingNode)).toBe(1);
    expect(gates.waiting("server")).toBe(0);
  });

  it("gives back what those needed who waited, though others hold on to the limit", async () => {
    const gates = createEmbeddedGates({ scheduler: { wake: () => {} } });
    const request = (runId: string, key: string): PermitRequest => ({
      runId,
      owner: { tenant: "default", subject: runId },
      priority: 0,
      limits: [
        { key: "server", gate: "server", limit: 1 },
        { key, gate: "workflow", limit: 1 },
      ],
      endpoints: [{ endpoint: "x", key: "endpoint/x", slots: 5 }],
    });
    await gates.acquire(request("holder", "workflow/0"));
    for (let index = 1; index <= 10; index++) {
      await gates.acquire(request(`run ${index}`, `workflow/${index}`));
    }
    expect(queryObjects(WaitingNode)).toBe(23);
    for (let index = 1; index <= 10; index++) {
      gates.withdraw(`run ${index}`);
    }

    expect(queryObjects(WaitingNode)).toBe(1);
    expect(gates.waiting("server")).toBe(0);
  });

  it("counts nothing for limits and endpoints without a limit", async () => {
    const gates = createEmbeddedGates({ scheduler: { wake: () => {} } });
    await gates.acquire({
      runId: "a",
      owner: { tenant: "default", subject: "somebody" },
      priority: 0,
      limits: [{ key: "server", gate: "server", limit: Number.POSITIVE_INFINITY }],
      endpoints: [{ endpoint: "x", key: "endpoint/x", slots: Number.POSITIVE_INFINITY }],
    });

    expect(queryObjects(Pool)).toBe(0);
    expect(gates.waiting("server")).toBe(0);
  });
});
