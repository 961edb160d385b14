import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { Blocked, Gates, Permit, PermitRequest } from "../../../src/runs/ports/gates.ts";
import type { Scheduler } from "../../../src/runs/ports/scheduler.ts";
import { GatesModel, type ModelRequest } from "./gates-model.ts";
import { permitRequest as request } from "./permit-request.ts";

/** What every implementation of gates has to hold, whatever it is made of. */
export function describeGates(name: string, create: (scheduler: Pick<Scheduler, "wake">) => Gates): void {
  describe(`${name} as gates`, () => {
    let woken: string[];
    let gates: Gates;

    beforeEach(() => {
      woken = [];
      gates = create({
        wake: (runId) => {
          woken.push(runId);
        },
      });
    });

    async function permit(of: PermitRequest): Promise<Permit> {
      const answer = await gates.acquire(of);
      expect(answer).toMatchObject({ kind: "permit", runId: of.runId });
      return answer as Permit;
    }

    async function blocked(of: PermitRequest): Promise<Blocked> {
      const answer = await gates.acquire(of);
      expect(answer).toMatchObject({ kind: "blocked" });
      return answer as Blocked;
    }

    /** Whether a newcomer would get through, without a trace. */
    async function hasRoom(limits: Record<string, number>, endpoints?: Record<string, number>): Promise<boolean> {
      const answer = await gates.acquire(request("probe", limits, endpoints === undefined ? {} : { endpoints }));
      if (answer.kind === "permit") {
        gates.release(answer);
        return true;
      }
      gates.withdraw("probe");
      return false;
    }

    describe("a limit", () => {
      it("lets as many runs through as it says, and no more", async () => {
        await permit(request("a", { server: 2 }));
        await permit(request("b", { server: 2 }));
        const answer = await blocked(request("c", { server: 2 }));

        expect(answer).toEqual({
          kind: "blocked",
          gate: "gate of server",
          reason: "server is at its limit of 2",
        });
      });

      it("lets nobody through when it is 0", async () => {
        const { reason } = await blocked(request("a", { server: 0 }));

        expect(reason).toBe("server lets nothing through: its limit is 0");
      });

      it("lets everybody through when it is infinite", async () => {
        for (let run = 0; run < 1000; run++) {
          await permit(request(`run ${run}`, { server: Number.POSITIVE_INFINITY }));
        }
      });

      it("has room again when a permit is given back, once for each", async () => {
        const first = await permit(request("a", { server: 1 }));
        gates.release(first);
        gates.release(first);
        await permit(request("b", { server: 1 }));

        expect(await hasRoom({ server: 1 })).toBe(false);
      });

      it("does not mistake an old permit for the new one of the same run", async () => {
        const old = await permit(request("a", { server: 1 }));
        gates.release(old);
        await permit(request("a", { server: 1 }));
        gates.release(old);

        expect(await hasRoom({ server: 1 })).toBe(false);
      });

      it("keeps nothing taken for a run that another limit or endpoint blocks", async () => {
        await permit(request("a", { full: 1 }));
        await permit(request("b", {}, { endpoints: { busy: 1 } }));
        await blocked(request("c", { server: 1, full: 1 }));
        await blocked(request("d", { full: 1, server: 1 }));
        await blocked(request("e", { server: 1 }, { endpoints: { busy: 1 } }));

        expect(await hasRoom({ server: 1 })).toBe(true);
      });

      it("holds for all that name it, whatever else they name", async () => {
        await permit(request("a", { server: 2, one: 5 }));
        await permit(request("b", { two: 5, server: 2 }, { endpoints: { far: 3 } }));

        expect(await hasRoom({ server: 2 })).toBe(false);
      });

      it("is named first of all that are full, endpoints last", async () => {
        await permit(request("a", { server: 1, workflow: 1 }, { endpoints: { far: 1 } }));

        expect((await blocked(request("b", { server: 1, workflow: 1 }, { endpoints: { far: 1 } }))).gate).toBe(
          "gate of server",
        );
        expect((await blocked(request("c", { workflow: 1 }, { endpoints: { far: 1 } }))).gate).toBe("gate of workflow");
        expect((await blocked(request("d", {}, { endpoints: { far: 1 } }))).gate).toBe("endpoint");
      });
    });

    describe("an endpoint", () => {
      it("has a number of slots", async () => {
        await permit(request("a", {}, { endpoints: { far: 1 } }));
        const { gate, reason } = await blocked(request("b", {}, { endpoints: { far: 1 } }));

        expect({ gate, reason }).toEqual({ gate: "endpoint", reason: "no slot is free at its endpoint" });
      });

      it("is the least busy of the request's, the first of equals", async () => {
        const taken: string[] = [];
        for (let run = 0; run < 6; run++) {
          taken.push((await permit(request(`run ${run}`, {}, { endpoints: { x: 2, y: 2, z: 2 } }))).endpoint);
        }

        expect(taken).toEqual(["x", "y", "z", "x", "y", "z"]);
      });

      it("is the least busy by the share of its slots", async () => {
        const taken: string[] = [];
        for (let run = 0; run < 6; run++) {
          taken.push((await permit(request(`run ${run}`, {}, { endpoints: { small: 2, large: 4 } }))).endpoint);
        }

        expect(taken).toEqual(["small", "large", "large", "small", "large", "large"]);
      });

      it("is the least busy of those without a limit by what it does", async () => {
        const endpoints = { x: Number.POSITIVE_INFINITY, y: Number.POSITIVE_INFINITY };
        const first = await permit(request("a", {}, { endpoints }));
        const second = await permit(request("b", {}, { endpoints }));
        gates.release(first);
        const third = await permit(request("c", {}, { endpoints }));

        expect([first.endpoint, second.endpoint, third.endpoint]).toEqual(["x", "y", "x"]);
      });

      it("is not chosen when it is full", async () => {
        await permit(request("a", {}, { endpoints: { x: 1 } }));

        expect((await permit(request("b", {}, { endpoints: { x: 1, y: 9 } }))).endpoint).toBe("y");
      });

      it("shares its slots with all workflows, under its key", async () => {
        const of = (runId: string, endpoint: string): PermitRequest => ({
          ...request(runId, {}),
          limits: [],
          endpoints: [{ endpoint, key: "endpoint/shared", slots: 1 }],
        });
        await permit(of("a", "one name"));
        await blocked(of("b", "another name"));
        await blocked(of("c", "a third name"));

        expect(gates.place("b")?.reason).toBe("no slot is free at its endpoint");
        expect(gates.place("c")?.reason).toBe("no slot is free at its endpoint");
      });

      it("is found for a waiting run at whichever gets free", async () => {
        await permit(request("a", {}, { endpoints: { x: 1 } }));
        const second = await permit(request("b", {}, { endpoints: { y: 1 } }));
        const waiting = request("c", {}, { endpoints: { x: 1, y: 1 } });
        const { reason } = await blocked(waiting);
        expect(reason).toBe("no slot is free at any of its 2 endpoints");

        gates.release(second);
        expect(woken).toEqual(["c"]);
        expect((await permit(waiting)).endpoint).toBe("y");
      });

      it("that gets no attempts is told of beside those that are full", async () => {
        await permit(request("a", {}, { endpoints: { x: 1 } }));
        const { reason } = await blocked(request("b", {}, { endpoints: { x: 1, y: 0 } }));
        expect(reason).toBe("no slot is free at any of its 2 endpoints; 1 of the 2 gets no attempts at the moment");

        gates.setSlots({ endpoint: "y", key: "endpoint/y", slots: 1 });
        await permit(request("b", {}, { endpoints: { x: 1, y: 1 } }));
        await blocked(request("c", {}, { endpoints: { x: 1, y: 1 } }));
        expect(gates.place("c")?.reason).toBe("no slot is free at any of its 2 endpoints");
      });
    });

    describe("a run that waits", () => {
      it("is woken once, as soon as possible and with its priority, when its place gets free", async () => {
        const wishes: [string, number, (number | undefined)?][] = [];
        gates = create({ wake: (...wish) => wishes.push(wish) });
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }, { priority: 3 }));
        expect(wishes).toEqual([]);

        const beforeMs = Date.now();
        gates.release(first);
        expect(wishes.map(([runId, , priority]) => [runId, priority])).toEqual([["b", 3]]);
        expect(wishes[0]?.[1]).toBeLessThanOrEqual(beforeMs);
      });

      it("has its place kept until it comes", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        gates.release(first);
        await blocked(request("newcomer", { server: 1 }, { priority: 9 }));

        await permit(request("b", { server: 1 }));
        expect(woken).toEqual(["b"]);
      });

      it("is alone to be woken when one place gets free", async () => {
        const first = await permit(request("a", { server: 1 }));
        for (let run = 0; run < 10; run++) {
          await blocked(request(`run ${run}`, { server: 1 }));
        }
        gates.release(first);

        expect(woken).toEqual(["run 0"]);
      });

      it("goes before newcomers and behind those who came before, among equals", async () => {
        const runs = ["a", "b", "c", "d"].map((runId) => request(runId, { server: 1 }));
        const served: string[] = [];
        const first = await permit(request("first", { server: 1 }));
        for (const run of runs) {
          await blocked(run);
        }
        gates.release(first);
        for (let turn = 0; turn < runs.length; turn++) {
          const next = woken[turn] ?? "none";
          served.push(next);
          gates.release(await permit(request(next, { server: 1 })));
        }

        expect(served).toEqual(["a", "b", "c", "d"]);
      });

      it("goes before those of a lower priority, however long they have waited", async () => {
        const held = [await permit(request("x", { server: 3 })), await permit(request("y", { server: 3 }))];
        held.push(await permit(request("z", { server: 3 })));
        await blocked(request("low", { server: 3 }, { priority: -5 }));
        await blocked(request("middle", { server: 3 }));
        await blocked(request("high", { server: 3 }, { priority: 5 }));
        held.forEach((one) => {
          gates.release(one);
        });

        expect(woken).toEqual(["high", "middle", "low"]);
      });

      it("keeps its place when it asks again too soon", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        gates.release(first);

        expect(woken).toEqual(["b"]);
      });

      it("keeps its place in time when its priority, its limits or its endpoints have changed", async () => {
        const first = await permit(request("a", { server: 1 }, { endpoints: { x: 9 } }));
        await blocked(request("b", { server: 1 }, { endpoints: { x: 9 }, priority: 1 }));
        await blocked(request("c", { server: 1 }, { endpoints: { x: 9 } }));
        await blocked(request("b", { server: 1, workflow: 1 }, { endpoints: { x: 9, y: 9 } }));
        gates.release(first);

        expect(woken).toEqual(["b"]);
        expect(await permit(request("b", { server: 1, workflow: 1 }, { endpoints: { y: 9 } }))).toMatchObject({
          endpoint: "y",
        });
      });

      it("gives back what was kept for it and it needs no more", async () => {
        const first = await permit(request("a", {}, { endpoints: { x: 1 } }));
        await blocked(request("b", {}, { endpoints: { x: 1 } }));
        await blocked(request("c", {}, { endpoints: { x: 1 } }));
        gates.release(first);
        expect(woken).toEqual(["b"]);

        await permit(request("b", {}, { endpoints: { y: 1 } }));
        expect(woken).toEqual(["b", "c"]);
      });

      it("waits until all its limits and an endpoint have room", async () => {
        const server = await permit(request("a", { server: 1 }));
        const workflow = await permit(request("b", { workflow: 1 }));
        const slot = await permit(request("c", {}, { endpoints: { x: 1 } }));
        const waiting = request("d", { server: 1, workflow: 1 }, { endpoints: { x: 1 } });
        await blocked(waiting);

        gates.release(server);
        gates.release(slot);
        expect(woken).toEqual([]);
        gates.release(workflow);
        expect(woken).toEqual(["d"]);
        await permit(waiting);
      });

      it("does not hold up those that do not need what it waits for", async () => {
        await permit(request("a", { server: 2, full: 1 }));
        await blocked(request("b", { server: 2, full: 1 }));

        await permit(request("c", { server: 2 }));
      });

      it("goes before those that came later when two limits get free together", async () => {
        const first = await permit(request("a", { server: 1, workflow: 1 }));
        await blocked(request("b", { server: 1, workflow: 1 }));
        await blocked(request("c", { server: 1 }));
        await blocked(request("d", { workflow: 1 }));
        gates.release(first);

        expect(woken).toEqual(["b"]);
      });

      it("is not passed for ever by runs that need only a part of what it needs", async () => {
        const needs = { left: { left: 1 }, right: { right: 1 }, both: { left: 1, right: 1 } };
        const held: Record<"left" | "right", Permit> = {
          left: await permit(request("left 0", needs.left)),
          right: await permit(request("right 0", needs.right)),
        };
        await blocked(request("both", needs.both));
        let round = 1;
        for (; round < 50 && !woken.includes("both"); round++) {
          for (const side of ["left", "right"] as const) {
            // The next one waits already when a place gets free, and the two never get free together.
            const next = request(`${side} ${round}`, needs[side]);
            await blocked(next);
            gates.release(held[side]);
            if (woken.at(-1) === next.runId) {
              held[side] = await permit(next);
            }
          }
        }

        expect(round).toBeLessThan(10);
        gates.release(await permit(request("both", needs.both)));
        const sides = woken.slice(-2).map((runId) => runId.slice(0, runId.indexOf(" ")));
        expect(sides.sort()).toEqual(["left", "right"]);
      });
    });

    describe("the runs of several owners", () => {
      /** Lets whoever is woken come and go, one after the other, until nobody waits. */
      async function serveAll(first: Permit, requests: ReadonlyMap<string, PermitRequest>): Promise<void> {
        gates.release(first);
        for (let turn = 0; turn < woken.length; turn++) {
          gates.release(await permit(requests.get(woken[turn] ?? "") as PermitRequest));
        }
      }

      function requests(plan: readonly (readonly [string, string, number?])[]): Map<string, PermitRequest> {
        return new Map(
          plan.map(([runId, owner, priority = 0]) => [runId, request(runId, { server: 1 }, { owner, priority })]),
        );
      }

      it("go in turns, whoever came first and however many each has", async () => {
        const plan = requests([
          ["a1", "ada"],
          ["a2", "ada"],
          ["a3", "ada"],
          ["a4", "ada"],
          ["b1", "bob"],
          ["b2", "bob"],
          ["c1", "cleo"],
        ]);
        const first = await permit(request("first", { server: 1 }, { owner: "ada" }));
        for (const one of plan.values()) {
          await blocked(one);
        }
        const positions = [...plan.keys()].map((runId) => gates.place(runId)?.position);
        await serveAll(first, plan);

        expect(woken).toEqual(["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
        expect(positions).toEqual([1, 4, 6, 7, 2, 5, 3]);
      });

      it("wait for one run of another owner at most, though it has a thousand waiting", async () => {
        const first = await permit(request("first", { server: 1 }, { owner: "ada" }));
        for (let run = 0; run < 1000; run++) {
          await blocked(request(`ada ${run}`, { server: 1 }, { owner: "ada" }));
        }
        gates.release(first);
        const next = await permit(request("ada 0", { server: 1 }, { owner: "ada" }));
        await blocked(request("bob", { server: 1 }, { owner: "bob" }));
        expect(gates.place("bob")?.position).toBe(2);
        gates.release(next);
        gates.release(await permit(request("ada 1", { server: 1 }, { owner: "ada" })));

        expect(woken).toEqual(["ada 0", "ada 1", "bob"]);
      });

      it("go in turns within a priority, and by it first of all", async () => {
        const plan = requests([
          ["a low", "ada", -1],
          ["a1", "ada"],
          ["a2", "ada"],
          ["a high", "ada", 1],
          ["a higher", "ada", 1],
          ["b1", "bob"],
          ["b high", "bob", 1],
        ]);
        const first = await permit(request("first", { server: 1 }));
        for (const one of plan.values()) {
          await blocked(one);
        }
        await serveAll(first, plan);

        expect(woken).toEqual(["a high", "b high", "a higher", "a1", "b1", "a2", "a low"]);
      });

      it("are not held up by an owner that is at a limit of its own, nor is that forgotten", async () => {
        const of = (runId: string, owner: string) => request(runId, { server: 2, [`of ${owner}`]: 1 }, { owner });
        const ada = await permit(of("a1", "ada"));
        await blocked(of("a2", "ada"));
        expect(gates.place("a2")).toMatchObject({ gate: "gate of of ada", position: 1, holders: 1 });
        const bob = await permit(of("b1", "bob"));
        await blocked(of("b2", "bob"));
        await blocked(of("c1", "cleo"));
        expect(gates.place("c1")).toMatchObject({ gate: "gate of server", position: 3, holders: 2 });
        gates.release(bob);
        gates.release(await permit(of("b2", "bob")));
        gates.release(ada);

        expect(woken).toEqual(["b2", "c1", "a2"]);
      });

      it("go in turns also where their tenants only differ", async () => {
        const of = (runId: string, tenant: string): PermitRequest => ({
          ...request(runId, { server: 1 }),
          owner: { tenant, subject: "ada" },
        });
        const plan = new Map(["x1", "x2", "x3", "y1"].map((runId) => [runId, of(runId, runId.charAt(0))]));
        const first = await permit(request("first", { server: 1 }));
        for (const one of plan.values()) {
          await blocked(one);
        }
        await serveAll(first, plan);

        expect(woken).toEqual(["x1", "y1", "x2", "x3"]);
      });

      it("keep their turn when a kept place is taken away from the first of them", async () => {
        const of = (runId: string, owner: string, limit: number) => request(runId, { server: limit }, { owner });
        const held = [await permit(of("x", "cleo", 2)), await permit(of("y", "cleo", 2))] as const;
        await blocked(of("a1", "ada", 2));
        await blocked(of("b1", "bob", 2));
        await blocked(of("a2", "ada", 2));
        gates.release(held[0]);
        expect(woken).toEqual(["a1"]);
        await blocked(of("a1", "ada", 1));
        expect(["a1", "b1", "a2"].map((runId) => gates.place(runId)?.position)).toEqual([1, 2, 3]);
        gates.release(held[1]);

        expect(woken).toEqual(["a1", "a1"]);
      });

      it("take turns in each thing they wait for apart from any other", async () => {
        const film = { server: 9, film: 1 };
        const image = { server: 9, image: 1 };
        const filmPermit = await permit(request("film 0", film, { owner: "ada" }));
        let imagePermit = await permit(request("image 0", image, { owner: "ada" }));
        await blocked(request("film a", film, { owner: "ada" }));
        await blocked(request("film b", film, { owner: "bob" }));
        for (let run = 1; run < 10; run++) {
          const next = request(`image ${run}`, image, { owner: "ada" });
          await blocked(next);
          gates.release(imagePermit);
          imagePermit = await permit(next);
        }
        gates.release(filmPermit);

        expect(woken.at(-1)).toBe("film a");
      });
    });

    describe("withdraw", () => {
      it("forgets a run that waits", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        gates.withdraw("b");
        gates.release(first);

        expect(woken).toEqual(["c"]);
      });

      it("gives the place of a run that was woken to the next", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        gates.release(first);
        gates.withdraw("b");

        expect(woken).toEqual(["b", "c"]);
      });

      it("makes a run a newcomer again", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        gates.withdraw("b");
        await blocked(request("b", { server: 1 }));
        gates.release(first);

        expect(woken).toEqual(["c"]);
      });

      it("does nothing to a run that holds a permit, or is unknown", async () => {
        const first = await permit(request("a", { server: 1 }));
        gates.withdraw("a");
        gates.withdraw("unknown");
        expect(await hasRoom({ server: 1 })).toBe(false);

        gates.release(first);
        expect(await hasRoom({ server: 1 })).toBe(true);
      });
    });

    describe("a limit that changes", () => {
      it("takes effect with the first request that brings it, for those who wait before the newcomer", async () => {
        await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        await blocked(request("newcomer", { server: 2, workflow: 5 }));
        expect(woken).toEqual(["b"]);

        await permit(request("another", { server: 5 }));
        expect(woken).toEqual(["b", "c", "newcomer"]);
      });

      it("lets everybody through who waits when it becomes infinite", async () => {
        await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        await permit(request("d", { server: Number.POSITIVE_INFINITY }));

        expect(woken).toEqual(["b", "c"]);
      });

      it("lets nobody through until fewer than the new limit are left", async () => {
        const held: Permit[] = [];
        for (const runId of ["a", "b", "c"]) {
          held.push(await permit(request(runId, { server: 3 })));
        }
        await blocked(request("d", { server: 2 }));
        gates.release(held[0] as Permit);
        expect(woken).toEqual([]);

        gates.release(held[1] as Permit);
        expect(woken).toEqual(["d"]);
      });

      it("takes a kept place away when it has become too low, but not the run's place in line", async () => {
        const held = [await permit(request("a", { server: 2 })), await permit(request("b", { server: 2 }))];
        await blocked(request("c", { server: 2 }));
        await blocked(request("d", { server: 2 }));
        gates.release(held[0] as Permit);
        expect(woken).toEqual(["c"]);

        await blocked(request("c", { server: 1 }));
        gates.release(held[1] as Permit);
        expect(woken).toEqual(["c", "c"]);
      });

      it("holds for the slots of an endpoint as well", async () => {
        await permit(request("a", {}, { endpoints: { x: 1 } }));
        await blocked(request("b", {}, { endpoints: { x: 1 } }));
        await permit(request("c", {}, { endpoints: { x: 3 } }));

        expect(woken).toEqual(["b"]);
      });

      it("serves the run that brings it, when it waits already", async () => {
        await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));

        await permit(request("b", { server: 2 }));
      });
    });

    describe("holders", () => {
      it("names the runs that hold what a run waits for first of all, so many at most", async () => {
        await permit(request("a", { server: 5, workflow: 2 }));
        await permit(request("b", { server: 5, workflow: 2 }));
        await permit(request("c", { server: 5, other: 2 }));
        await blocked(request("d", { server: 5, workflow: 2 }));

        expect(gates.holders("d", 10).toSorted()).toEqual(["a", "b"]);
        expect(gates.holders("d", 1)).toHaveLength(1);
      });

      it("names those that hold the slots of its endpoints", async () => {
        await permit(request("a", {}, { endpoints: { x: 1 } }));
        await permit(request("b", {}, { endpoints: { y: 1 } }));
        await blocked(request("c", {}, { endpoints: { x: 1 } }));

        expect(gates.holders("c", 10)).toEqual(["a"]);
      });

      it("names nobody for a run that does not wait, nor one that a place is kept for", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        gates.release(first);

        expect(["a", "b", "c", "unknown"].map((runId) => gates.holders(runId, 10))).toEqual([[], [], [], []]);
      });
    });

    describe("setSlots", () => {
      const slots = (endpoint: string, count: number) => ({ endpoint, key: `endpoint/${endpoint}`, slots: count });

      it("lets nobody through to an endpoint without slots, and says why", async () => {
        const answer = await blocked(request("a", {}, { endpoints: { gpu: 0 } }));
        expect(answer).toMatchObject({
          gate: "endpoint",
          reason: "its endpoint is not healthy, and gets no attempts before it is back",
        });
        expect(gates.place("a")).toMatchObject({ position: 1 });
        expect(await blocked(request("b", {}, { endpoints: { gpu: 0, cpu: 0 } }))).toMatchObject({
          reason: "none of its 2 endpoints is healthy",
        });
      });

      it("wakes those who wait for an endpoint, in order and as many as find a slot", async () => {
        for (const run of ["a", "b", "c"]) await blocked(request(run, {}, { endpoints: { gpu: 0 } }));
        gates.setSlots(slots("gpu", 2));
        expect(woken).toEqual(["a", "b"]);
        await permit(request("a", {}, { endpoints: { gpu: 2 } }));
        await permit(request("b", {}, { endpoints: { gpu: 2 } }));
        expect(gates.place("c")).toMatchObject({ reason: "no slot is free at its endpoint" });
      });

      it("wakes everybody where there is no limit", async () => {
        for (const run of ["a", "b", "c"]) await blocked(request(run, {}, { endpoints: { gpu: 0 } }));
        gates.setSlots(slots("gpu", Number.POSITIVE_INFINITY));
        expect(woken).toEqual(["a", "b", "c"]);
      });

      it("takes no permit back, and gives out none before the last of them is gone", async () => {
        const held = await permit(request("a", {}, { endpoints: { gpu: 1 } }));
        gates.setSlots(slots("gpu", 0));
        await blocked(request("b", {}, { endpoints: { gpu: 0 } }));
        gates.release(held);
        expect(woken).toEqual([]);
        gates.setSlots(slots("gpu", 1));
        expect(woken).toEqual(["b"]);
      });

      it("sends those who can choose to the others", async () => {
        const both = { endpoints: { gpu: 1, cpu: 1 } };
        await permit(request("a", {}, both));
        await permit(request("b", {}, both));
        await blocked(request("c", {}, both));
        gates.setSlots(slots("gpu", 0));
        gates.setSlots(slots("cpu", 2));
        expect(woken).toEqual(["c"]);
        expect((await permit(request("c", {}, { endpoints: { gpu: 0, cpu: 2 } }))).endpoint).toBe("cpu");
      });

      it("does not keep a place for a run at an endpoint that has lost it meanwhile", async () => {
        const held = await permit(request("a", {}, { endpoints: { gpu: 1 } }));
        await blocked(request("b", {}, { endpoints: { gpu: 1 } }));
        gates.release(held);
        expect(woken).toEqual(["b"]);
        gates.setSlots(slots("gpu", 0));
        await blocked(request("b", {}, { endpoints: { gpu: 0 } }));
        gates.setSlots(slots("gpu", 1));
        expect(woken).toEqual(["b", "b"]);
      });

      it("changes nothing for an endpoint that nobody uses", async () => {
        gates.setSlots(slots("gpu", 0));
        expect(await hasRoom({}, { gpu: 1 })).toBe(true);
      });
    });

    describe("place", () => {
      it("tells what a run waits for and how many go before it", async () => {
        await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1, workflow: 5 }));
        await blocked(request("c", { server: 1, workflow: 6 }));
        await blocked(request("d", { server: 1 }, { priority: 1, endpoints: { x: 1 } }));

        expect(gates.place("d")).toEqual({
          gate: "gate of server",
          reason: "server is at its limit of 1",
          position: 1,
          holders: 1,
        });
        expect(gates.place("b")?.position).toBe(2);
        expect(gates.place("c")?.position).toBe(3);
      });

      it("counts those who wait for any of the same endpoints", async () => {
        await permit(request("a", {}, { endpoints: { x: 1 } }));
        await permit(request("b", {}, { endpoints: { y: 1 } }));
        await blocked(request("c", {}, { endpoints: { x: 1 } }));
        await blocked(request("d", {}, { endpoints: { y: 1 } }));
        await blocked(request("e", {}, { endpoints: { x: 1, y: 1 } }));

        expect(gates.place("e")).toMatchObject({ gate: "endpoint", position: 3 });
        expect(gates.place("d")).toMatchObject({
          gate: "endpoint",
          reason: "no slot is free at its endpoint",
          position: 1,
        });
      });

      it("knows nothing of runs that do not wait", async () => {
        const first = await permit(request("a", { server: 1 }));
        await blocked(request("b", { server: 1 }));
        await blocked(request("c", { server: 1 }));
        gates.release(first);
        gates.withdraw("c");

        expect(["a", "b", "c", "unknown"].map((runId) => gates.place(runId))).toEqual([
          undefined,
          undefined,
          undefined,
          undefined,
        ]);
      });
    });

    describe("waiting", () => {
      it("counts the runs that wait and name a key, whatever holds them back", async () => {
        const first = await permit(request("a", { server: 1 }));
        const needs = { server: 1, roomy: 100, unlimited: Number.POSITIVE_INFINITY };
        await blocked(request("b", needs, { endpoints: { x: 5, y: 5 } }));
        await blocked(request("c", needs, { endpoints: { x: 5 } }));
        const counts = () =>
          ["server", "roomy", "unlimited", "endpoint/x", "endpoint/y", "unknown"].map((key) => gates.waiting(key));
        expect(counts()).toEqual([2, 2, 2, 2, 1, 0]);

        gates.release(first);
        expect(counts()).toEqual([1, 1, 1, 1, 0, 0]);
        gates.withdraw("c");
        expect(counts()).toEqual([0, 0, 0, 0, 0, 0]);
      });
    });

    describe("a wrong request", () => {
      it("is refused when the run holds a permit, which it keeps", async () => {
        const first = await permit(request("a", { server: 1 }));
        await expect(async () => gates.acquire(request("a", { server: 1 }))).rejects.toThrow(
          "run a asks for a permit but holds one: it has to release that first",
        );

        await blocked(request("b", { server: 1 }));
        gates.release(first);
        expect(woken).toEqual(["b"]);
      });

      it.each<[string, Partial<PermitRequest>, string]>([
        ["no endpoint", { endpoints: [] }, "run a asks for a permit without naming an endpoint"],
        ["a priority that is no number", { priority: Number.NaN }, "a priority that is not a number"],
        ["a negative limit", request("a", { server: -1 }), "under server with a limit of -1: it must be 0 or more"],
        ["a limit that is no number", request("a", { server: Number.NaN }), "under server with a limit of NaN"],
        ["slots that are no number", request("a", {}, { endpoints: { x: Number.NaN } }), "under endpoint/x with"],
        [
          "a limit named twice",
          { limits: [...request("a", { server: 1 }).limits, ...request("a", { server: 1 }).limits] },
          "run a asks for a permit under server twice",
        ],
      ])("is refused for %s", async (_, wrong, message) => {
        await expect(async () => gates.acquire({ ...request("a", { workflow: 1 }), ...wrong })).rejects.toThrow(
          message,
        );

        expect(gates.place("a")).toBeUndefined();
        expect(await hasRoom({ workflow: 1 })).toBe(true);
      });
    });

    type Step =
      | { readonly kind: "ask"; readonly request: ModelRequest }
      | { readonly kind: "come" | "release" | "withdraw"; readonly pick: number };

    const pick = fc.nat({ max: 1000 });

    /** Long enough for lines to build up, with more that ask than that leave. */
    function steps(needs: fc.Arbitrary<Omit<ModelRequest, "runId" | "priority" | "owner">>): fc.Arbitrary<Step[]> {
      const ask = fc
        .record({
          needs,
          owner: fc.constantFrom("ada", "ada", "ada", "bob"),
          priority: fc.constantFrom(0, 0, 0, 0, 1, -1),
        })
        .map(({ needs, ...who }): Step => ({ kind: "ask", request: { runId: "", ...who, ...needs } }));
      const other = (kind: "come" | "release" | "withdraw") => fc.record({ kind: fc.constant(kind), pick });
      return fc.array(
        fc.oneof(
          { weight: 8, arbitrary: ask },
          { weight: 6, arbitrary: other("release") },
          { weight: 6, arbitrary: other("come") },
          { weight: 1, arbitrary: other("withdraw") },
        ),
        { minLength: 40, maxLength: 120, size: "max" },
      );
    }

    it("does what a plain search would do, where whoever needs a narrow limit needs the wide ones too", async () => {
      const needs = fc
        .record({ workflow: fc.integer({ min: 0, max: 2 }), principal: fc.integer({ min: 0, max: 1 }) })
        .map(({ workflow, principal }) => ({
          limits: { server: 4, [`workflow ${workflow}`]: 1 + workflow, [`principal ${workflow} ${principal}`]: 1 },
          endpoints: [{ x: 2 }, { x: 2, y: 1 }, { z: Number.POSITIVE_INFINITY }][workflow] ?? {},
        }));
      await fc.assert(
        fc.asyncProperty(steps(needs), async (plan) => {
          const woken: string[] = [];
          const gates = create({ wake: (runId) => woken.push(runId) });
          const model = new GatesModel();
          const permits = new Map<string, Permit>();
          const requests = new Map<string, ModelRequest>();
          const seen: unknown[] = [];
          const expected: unknown[] = [];
          const ask = async (of: ModelRequest) => {
            requests.set(of.runId, of);
            const answer = await gates.acquire(request(of.runId, of.limits, of));
            const endpoint = model.acquire(of);
            if (answer.kind === "permit") {
              permits.set(of.runId, answer);
              seen.push(answer.endpoint);
              expected.push(endpoint);
            } else {
              const { gate, reason } = answer;
              seen.push(gates.place(of.runId));
              expected.push(
                endpoint ?? {
                  gate,
                  reason,
                  position: model.position(of.runId),
                  holders: model.holders(of.runId),
                },
              );
            }
          };
          for (const [index, step] of plan.entries()) {
            if (step.kind === "ask") {
              await ask({ ...step.request, runId: `run ${index}` });
            } else if (step.kind === "release") {
              const runId = [...permits.keys()][step.pick % permits.size];
              if (runId !== undefined) {
                gates.release(permits.get(runId) as Permit);
                permits.delete(runId);
                model.release(runId);
              }
            } else {
              const others = [...requests.values()].filter(({ runId }) => !permits.has(runId) && model.knows(runId));
              const awaited = others.filter(({ runId }) => woken.includes(runId));
              const ready = step.kind === "come" && awaited.length > 0 && step.pick % 4 > 0 ? awaited : others;
              const one = ready[step.pick % ready.length];
              if (one !== undefined && step.kind === "come") {
                await ask(one);
              } else if (one !== undefined) {
                gates.withdraw(one.runId);
                model.withdraw(one.runId);
              }
            }
            const keys = ["server", "workflow 0", "workflow 1", "principal 0 0", "endpoint/x", "endpoint/z"];
            seen.push(woken.length, ...keys.map((key) => gates.waiting(key)));
            expected.push(model.woken.length, ...keys.map((key) => model.waiting(key)));
          }

          expect(woken).toEqual(model.woken);
          expect(seen).toEqual(expected);
        }),
        { numRuns: 100 },
      );
    });

    it("grants in turns to any two owners who both wait, within their limits, and nobody starves", async () => {
      const owners = ["ada", "bob", "cleo"];
      const plans = fc.record({
        limit: fc.integer({ min: 1, max: 4 }),
        own: fc.constantFrom(1, 2, Number.POSITIVE_INFINITY),
        asks: fc.array(fc.constantFrom("ada", "ada", "ada", "ada", "bob", "cleo"), { minLength: 10, maxLength: 60 }),
        releases: fc.array(pick, { minLength: 60, maxLength: 60 }),
      });
      await fc.assert(
        fc.asyncProperty(plans, async ({ limit, own, asks, releases }) => {
          const held = new Map<string, Permit>();
          const waiting = new Map<string, string>();
          /** Since both wait and could go: the owners that were granted something. */
          const since = new Map<string, string[]>();
          const faults: string[] = [];
          const ownerOf = (runId: string) => runId.slice(0, runId.indexOf(" "));
          const heldBy = (owner: string) => [...held.keys()].filter((runId) => ownerOf(runId) === owner).length;
          const of = (runId: string) => {
            const owner = ownerOf(runId);
            const limits = own === Number.POSITIVE_INFINITY ? {} : { [`of ${owner}`]: own };
            return request(runId, { server: limit, ...limits }, { owner });
          };
          const wakes: string[] = [];
          const gates = create({ wake: (runId) => wakes.push(runId) });
          const couldGo = (owner: string) => [...waiting.values()].includes(owner) && heldBy(owner) < own;
          const granted = (owner: string) => {
            for (const a of owners) {
              for (const b of owners.filter((other) => other > a)) {
                const pair = `${a} and ${b}`;
                if (owner !== a && owner !== b) {
                  continue;
                }
                const grants = since.get(pair) ?? [];
                if (grants.at(-1) === owner) {
                  faults.push(`${owner} went twice while ${pair} both waited and could go`);
                }
                since.set(pair, [...grants, owner]);
              }
            }
          };
          const forgetPairs = () => {
            for (const a of owners) {
              for (const b of owners.filter((other) => other > a)) {
                if (!couldGo(a) || !couldGo(b)) {
                  since.delete(`${a} and ${b}`);
                }
              }
            }
          };
          const come = async (runId: string) => {
            const answer = await gates.acquire(of(runId));
            if (answer.kind === "blocked") {
              faults.push(`${runId} was woken for nothing`);
              return;
            }
            waiting.delete(runId);
            held.set(runId, answer);
            if (held.size > limit || heldBy(ownerOf(runId)) > own) {
              faults.push(`${runId} is one too many`);
            }
          };
          for (const [index, owner] of asks.entries()) {
            const runId = `${owner} ${index}`;
            const answer = await gates.acquire(of(runId));
            if (answer.kind === "permit") {
              held.set(runId, answer);
            } else {
              waiting.set(runId, owner);
            }
          }
          let served = 0;
          for (let step = 0; held.size > 0; step++) {
            const runId = [...held.keys()][(releases[step % releases.length] ?? 0) % held.size] ?? "";
            gates.release(held.get(runId) as Permit);
            held.delete(runId);
            for (; served < wakes.length; served++) {
              const next = wakes[served] ?? "";
              granted(ownerOf(next));
              await come(next);
              forgetPairs();
            }
          }

          expect(faults).toEqual([]);
          expect([...waiting.keys()]).toEqual([]);
        }),
        { numRuns: 100 },
      );
    });

    it("never exceeds a limit and serves everybody in the end, whatever is asked together", async () => {
      const keys = ["a", "b", "c", "d"];
      const limit = new Map(keys.map((key, index) => [key, 1 + (index % 2)]));
      const slots = { x: 1, y: 2, z: 1 };
      const needs = fc
        .record({
          limits: fc.shuffledSubarray(keys),
          endpoints: fc.shuffledSubarray(["x", "y", "z"], { minLength: 1 }),
        })
        .map(({ limits, endpoints }) => ({
          limits: Object.fromEntries(limits.map((key) => [key, limit.get(key) ?? 0])),
          endpoints: Object.fromEntries(endpoints.map((key) => [key, slots[key as keyof typeof slots]])),
        }));
      await fc.assert(
        fc.asyncProperty(steps(needs), async (plan) => {
          const woken: string[] = [];
          const gates = create({ wake: (runId) => woken.push(runId) });
          const waiting = new Map<string, ModelRequest>();
          const held = new Map<string, { permit: Permit; of: ModelRequest }>();
          const faults: string[] = [];
          const ask = async (of: ModelRequest) => {
            const answer = await gates.acquire(request(of.runId, of.limits, of));
            if (answer.kind === "blocked") {
              waiting.set(of.runId, of);
              return;
            }
            waiting.delete(of.runId);
            held.set(of.runId, { permit: answer, of });
            const holders = [...held.values()];
            const exceeded = Object.keys(of.limits).filter(
              (key) => holders.filter((holder) => key in holder.of.limits).length > (limit.get(key) ?? 0),
            );
            const busy = holders.filter((holder) => holder.permit.endpoint === answer.endpoint).length;
            if (exceeded.length > 0 || busy > (of.endpoints[answer.endpoint] ?? 0)) {
              faults.push(`${of.runId} at ${answer.endpoint} under ${exceeded.join(" and ")}`);
            }
          };
          const release = (runId: string) => {
            const holder = held.get(runId);
            held.delete(runId);
            gates.release(holder?.permit as Permit);
          };
          for (const [index, step] of plan.entries()) {
            if (step.kind === "ask") {
              await ask({ ...step.request, runId: `run ${index}` });
            } else if (step.kind === "release") {
              const runId = [...held.keys()][step.pick % held.size];
              if (runId !== undefined) {
                release(runId);
              }
            } else {
              const others = [...waiting.values()];
              const awaited = others.filter(({ runId }) => woken.includes(runId));
              const ready = step.kind === "come" && awaited.length > 0 && step.pick % 4 > 0 ? awaited : others;
              const one = ready[step.pick % ready.length];
              if (one !== undefined && step.kind === "come") {
                await ask(one);
              } else if (one !== undefined) {
                waiting.delete(one.runId);
                gates.withdraw(one.runId);
              }
            }
          }
          // From here on runs come only when they are woken: a wake-up that is lost leaves somebody waiting.
          let heard = 0;
          while (held.size > 0 || heard < woken.length) {
            for (const runId of [...held.keys()]) {
              release(runId);
            }
            for (; heard < woken.length; heard++) {
              const one = waiting.get(woken[heard] ?? "");
              if (one !== undefined) {
                await ask(one);
                if (!held.has(one.runId)) {
                  faults.push(`${one.runId} was woken for nothing`);
                }
              }
            }
          }

          expect(faults).toEqual([]);
          expect([...waiting.keys()]).toEqual([]);
          expect(keys.map((key) => gates.waiting(key))).toEqual(keys.map(() => 0));
        }),
        { numRuns: 100 },
      );
    });
  });
}
