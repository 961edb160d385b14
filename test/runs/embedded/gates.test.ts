import { beforeEach, describe, expect, it } from "vitest";
import { createEmbeddedGates } from "../../../src/runs/embedded/gates.ts";
import type { Gates, Permit, PermitRequest } from "../../../src/runs/ports/gates.ts";
import { describeGates } from "../ports/gates-contract.ts";
import { permitRequest as request } from "../ports/permit-request.ts";

describeGates("the embedded gates", (scheduler) => createEmbeddedGates({ scheduler }));

describe("createEmbeddedGates", () => {
  const left = { left: 1 };
  const right = { right: 1 };
  const both = { left: 1, right: 1 };
  let woken: string[];
  let gates: Gates;

  beforeEach(() => {
    woken = [];
    gates = createEmbeddedGates({ scheduler: { wake: (runId) => woken.push(runId) } });
  });

  async function permit(of: PermitRequest): Promise<Permit> {
    const answer = await gates.acquire(of);
    expect(answer).toMatchObject({ kind: "permit", runId: of.runId });
    return answer as Permit;
  }

  async function blocked(of: PermitRequest): Promise<void> {
    expect(await gates.acquire(of)).toMatchObject({ kind: "blocked" });
  }

  /** Lets runs come and go that have nothing to do with the others. */
  async function goOn(): Promise<void> {
    for (let run = 0; run < 20; run++) {
      gates.release(await permit(request(`passer-by ${run}`, { other: 1 })));
    }
  }

  /** Hands a place on to a run that comes later than all that wait so far. */
  async function handOn(from: Permit, to: PermitRequest): Promise<Permit> {
    await blocked(to);
    gates.release(from);
    expect(woken.at(-1)).toBe(to.runId);
    return permit(to);
  }

  it.each([
    ["limit", { server: Number.POSITIVE_INFINITY }, undefined],
    ["endpoint", {}, { x: Number.POSITIVE_INFINITY }],
  ])("counts what has no %s any more as long as it is known", async (_, limits, endpoints) => {
    const limited = (runId: string) =>
      request(
        runId,
        endpoints === undefined ? { server: 2 } : {},
        endpoints === undefined ? {} : { endpoints: { x: 2 } },
      );
    await permit(limited("a"));
    await permit(request("b", limits, endpoints === undefined ? {} : { endpoints }));

    await blocked(limited("c"));
  });

  describe("a run that is passed under every limit it needs", () => {
    let leftPermit: Permit;
    let rightPermit: Permit;

    beforeEach(async () => {
      const first = [await permit(request("left 0", left)), await permit(request("right 0", right))] as const;
      await blocked(request("both", both));
      leftPermit = await handOn(first[0], request("left 1", left));
      rightPermit = await handOn(first[1], request("right 1", right));
      await goOn();
    });

    it("keeps each place that gets free, and is woken when it has all", async () => {
      await blocked(request("left 2", left));
      gates.release(leftPermit);
      expect(woken).toEqual(["left 1", "right 1"]);
      expect(gates.place("both")).toEqual({
        gate: "gate of right",
        reason: "right is at its limit of 1",
        position: 1,
        holders: 1,
      });

      gates.release(rightPermit);
      expect(woken).toEqual(["left 1", "right 1", "both"]);
      expect(gates.place("both")).toBeUndefined();
      gates.release(await permit(request("both", both)));
      expect(woken.at(-1)).toBe("left 2");
    });

    it("goes before those who wait for a part of what it needs", async () => {
      await blocked(request("left 2", left));
      await blocked(request("left 3", left));

      expect(gates.place("left 2")?.position).toBe(2);
      expect(gates.place("left 3")?.position).toBe(3);
      expect(gates.waiting("left")).toBe(3);
    });

    it("leaves nothing behind when it is withdrawn", async () => {
      await blocked(request("left 2", left));
      gates.release(leftPermit);
      gates.withdraw("both");
      expect(woken).toEqual(["left 1", "right 1", "left 2"]);
      expect(gates.waiting("left")).toBe(0);
      expect(gates.waiting("right")).toBe(0);

      gates.release(rightPermit);
      gates.release(await permit(request("left 2", left)));
      await permit(request("another", both));
      expect(woken).toEqual(["left 1", "right 1", "left 2"]);
    });

    it("lines up again by its age when it asks too soon", async () => {
      gates.release(leftPermit);
      await blocked(request("both", both));
      gates.release(rightPermit);

      expect(woken).toEqual(["left 1", "right 1", "both"]);
      await permit(request("both", both));
    });

    it("is served when a limit is raised", async () => {
      gates.release(leftPermit);
      await permit(request("another", { right: 3 }));

      expect(woken).toEqual(["left 1", "right 1", "both"]);
    });
  });

  it("collects for one at a time of those that are passed, for the first of them first", async () => {
    const first = [await permit(request("left 0", left)), await permit(request("right 0", right))] as const;
    await blocked(request("older", both));
    // The other way round: if both collected, each would keep what the other needs.
    await blocked(request("younger", { right: 1, left: 1 }));
    const leftPermit = await handOn(first[0], request("left 1", left));
    const rightPermit = await handOn(first[1], request("right 1", right));
    await goOn();
    gates.release(leftPermit);
    await goOn();
    expect(gates.place("older")).toMatchObject({ position: 1, reason: "right is at its limit of 1" });
    expect(gates.place("younger")).toMatchObject({ position: 2, reason: "right is at its limit of 1" });

    gates.release(rightPermit);
    expect(woken.at(-1)).toBe("older");
    gates.release(await permit(request("older", both)));
    expect(woken.at(-1)).toBe("younger");
  });

  it("collects slots as well as places under limits", async () => {
    const endpoints = { x: 1 };
    const first = [
      await permit(request("left 0", left)),
      await permit(request("slot 0", {}, { endpoints })),
      await permit(request("right 0", right)),
    ] as const;
    await blocked(request("all", both, { endpoints }));
    const leftPermit = await handOn(first[0], request("left 1", left));
    const slotPermit = await handOn(first[1], request("slot 1", {}, { endpoints }));
    const rightPermit = await handOn(first[2], request("right 1", right));
    await goOn();
    gates.release(leftPermit);
    gates.release(rightPermit);
    expect(woken).not.toContain("all");
    expect(gates.place("all")).toMatchObject({
      gate: "endpoint",
      reason: "no slot is free at its endpoint",
      position: 1,
    });

    await blocked(request("slot 2", {}, { endpoints }));
    gates.release(slotPermit);
    expect(woken.at(-1)).toBe("all");
    expect(await permit(request("all", both, { endpoints }))).toMatchObject({ endpoint: "x" });
  });

  it("takes at once what is free when it begins to collect", async () => {
    const first = await permit(request("left 0", left));
    const rightPermit = await permit(request("right 0", right));
    await blocked(request("both", both));
    const leftPermit = await handOn(first, request("left 1", left));
    await handOn(rightPermit, request("right 1", right));
    gates.release(leftPermit);
    for (let run = 0; run < 20; run++) {
      await permit(request(`passer-by ${run}`, {}));
    }

    await blocked(request("left 2", left));
    expect(gates.place("left 2")).toMatchObject({ position: 2 });
  });

  it("collects where one of several endpoints is passed on", async () => {
    const endpoints = { x: 1, y: 1 };
    const first = [
      await permit(request("left 0", left)),
      await permit(request("x 0", {}, { endpoints: { x: 1 } })),
      await permit(request("y 0", {}, { endpoints: { y: 1 } })),
    ] as const;
    await blocked(request("all", left, { endpoints }));
    const leftPermit = await handOn(first[0], request("left 1", left));
    await handOn(first[1], request("x 1", {}, { endpoints: { x: 1 } }));
    await goOn();
    gates.release(leftPermit);

    await blocked(request("left 2", left));
  });

  describe("a run that is not passed under every limit it needs", () => {
    async function leavesRoomOnTheLeft(): Promise<void> {
      await goOn();
      gates.release(await permit(request("left newcomer", left)));
    }

    it("keeps no place free while a single run holds it up", async () => {
      const first = await permit(request("left 0", left));
      await permit(request("right 0", right));
      await blocked(request("both", both));
      gates.release(await handOn(first, request("left 1", left)));

      await leavesRoomOnTheLeft();
    });

    it("keeps no place free while only more important ones go before it", async () => {
      const first = [await permit(request("left 0", left)), await permit(request("right 0", right))] as const;
      await blocked(request("both", both));
      const leftPermit = await handOn(first[0], request("left 1", left, { priority: 1 }));
      await handOn(first[1], request("right 1", right, { priority: 1 }));
      gates.release(leftPermit);

      await leavesRoomOnTheLeft();
    });

    it("keeps no place free while only older ones go before it", async () => {
      const first = [await permit(request("left 0", left)), await permit(request("right 0", right))] as const;
      await blocked(request("left 1", left));
      await blocked(request("right 1", right));
      await blocked(request("both", both));
      gates.release(first[0]);
      gates.release(first[1]);
      await permit(request("right 1", right));
      gates.release(await permit(request("left 1", left)));

      await leavesRoomOnTheLeft();
    });
  });
});
