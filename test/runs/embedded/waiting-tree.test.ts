import { describe, expect, it } from "vitest";
import { Pool } from "../../../src/runs/embedded/pool.ts";
import { type EndpointChoice, type Waiter, WaitingTree } from "../../../src/runs/embedded/waiting-tree.ts";

describe("WaitingTree", () => {
  const full = (key: string) => {
    const pool = new Pool(key, "gate", 1);
    pool.take({ priority: 0, turn: -1 });
    return pool;
  };

  /** A tree with runs of so many owners in workflows that have no room, and how often lines were compared so far. */
  function fill(runs: number, owners: number, workflows: readonly Pool[], server: Pool) {
    const tree = new WaitingTree();
    const choice: EndpointChoice = {
      endpoints: [{ endpoint: "x", key: "endpoint/x", slots: 1 }],
      pools: [new Pool("endpoint/x", "endpoint", 1)],
    };
    const counter = { looks: 0 };
    const waiters = Array.from({ length: runs }, (_, order): Waiter => {
      const workflow = workflows[order % workflows.length] as Pool;
      const owner = { tenant: "default", subject: `owner ${Math.floor(order / workflows.length) % owners}` };
      const node = tree.lineFor(choice, [server, workflow], { owner, priority: 0 });
      Object.defineProperty(node, "priority", {
        get: () => {
          counter.looks++;
          return 0;
        },
        configurable: true,
      });
      const waiter: Waiter = { state: "waiting", runId: `run ${order}`, order, node };
      tree.add(waiter, order);
      return waiter;
    });
    return { tree, waiters, counter };
  }

  it("looks at few lines when a place gets free, however many runs wait", () => {
    const server = full("server");
    const workflows = Array.from({ length: 100 }, (_, index) => full(`workflow/${index}`));
    const { tree, waiters, counter } = fill(10_000, 1, workflows, server);
    expect(tree.first).toBeUndefined();

    counter.looks = 0;
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
    expect(counter.looks).toBeLessThan(100);
  });

  it("serves 100,000 runs of 1,000 owners in turns, at the cost of a logarithm each", () => {
    const workflow = full("workflow");
    const { tree, waiters, counter } = fill(100_000, 1_000, [workflow], new Pool("server", "server", 1_000_000));
    workflow.taken = 0;
    tree.roomChanged(workflow);

    counter.looks = 0;
    const served: string[] = [];
    for (let turn = waiters.length; tree.first !== undefined; turn++) {
      served.push(tree.first.runId);
      tree.serve(tree.first, turn);
    }

    // They came in turns as well: whoever is served is followed by whoever came next.
    expect(served).toEqual(waiters.map(({ runId }) => runId));
    // A heap of a thousand lines is ten deep: two looks at two lines for each level, at most.
    expect(counter.looks / waiters.length).toBeLessThan(2 * 2 * 10 + 10);
  });
});
