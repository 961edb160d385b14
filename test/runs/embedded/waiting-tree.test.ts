import { describe, expect, it } from "vitest";
import { Pool } from "../../../src/runs/embedded/pool.ts";
import { type EndpointChoice, type Waiter, WaitingTree } from "../../../src/runs/embedded/waiting-tree.ts";

describe("WaitingTree", () => {
  it("looks at few runs when a place gets free, however many wait", () => {
    const tree = new WaitingTree();
    const full = (key: string) => {
      const pool = new Pool(key, "gate", 1);
      pool.take({ priority: 0, order: -1 });
      return pool;
    };
    const server = full("server");
    const workflows = Array.from({ length: 100 }, (_, index) => full(`workflow/${index}`));
    const choice: EndpointChoice = {
      endpoints: [{ endpoint: "x", key: "endpoint/x", slots: 1 }],
      pools: [new Pool("endpoint/x", "endpoint", 1)],
    };
    let looks = 0;
    const waiters = Array.from({ length: 10_000 }, (_, order): Waiter => {
      const workflow = workflows[order % workflows.length] as Pool;
      return {
        state: "waiting",
        runId: `run ${order}`,
        order,
        get priority() {
          looks++;
          return 0;
        },
        node: tree.nodeFor(choice, [server, workflow]),
      };
    });
    waiters.forEach((waiter) => {
      tree.add(waiter);
    });
    expect(tree.first).toBeUndefined();

    looks = 0;
    server.taken = 0;
    tree.roomChanged(server);
    expect(tree.first).toBeUndefined();
    const open = workflows[42] as Pool;
    open.taken = 0;
    tree.roomChanged(open);
    expect(tree.first).toBe(waiters[42]);
    tree.remove(waiters[42] as Waiter);
    expect(tree.first).toBe(waiters[142]);
    server.taken = 1;
    tree.roomChanged(server);

    expect(tree.first).toBeUndefined();
    expect(looks).toBeLessThan(100);
  });
});
