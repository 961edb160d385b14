import { describe, expect, it } from "vitest";
import { Lanes } from "../../src/webhooks/lanes.ts";

interface Begun {
  readonly item: string;
  end(well: boolean): Promise<void>;
}

function createLanes(concurrency: number, perLane: number) {
  const begun: Begun[] = [];
  const lanes = new Lanes<string>({ concurrency, perLane }, (item) => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    begun.push({
      item,
      end: async (well) => {
        resolve(well);
        await new Promise((settled) => setImmediate(settled));
      },
    });
    return promise;
  });
  return { lanes, begun, items: () => begun.map(({ item }) => item) };
}

describe("Lanes", () => {
  it("begin no more than their limits, in the order in which things came", async () => {
    const { lanes, begun, items } = createLanes(3, 2);
    for (const item of ["a1", "a2", "a3", "b1", "b2"]) lanes.add(item.charAt(0), item);
    expect(items()).toEqual(["a1", "a2", "b1"]);
    await begun[0]?.end(true);
    expect(items()).toEqual(["a1", "a2", "b1", "a3"]);
    await begun[2]?.end(true);
    expect(items()).toEqual(["a1", "a2", "b1", "a3", "b2"]);
  });

  it("leave a lane that fails one place until it is well again", async () => {
    const { lanes, begun, items } = createLanes(10, 2);
    for (const item of ["a1", "a2", "a3", "a4", "a5", "b1"]) lanes.add(item.charAt(0), item);
    expect(items()).toEqual(["a1", "a2", "b1"]);
    await begun[0]?.end(false);
    expect(items()).toEqual(["a1", "a2", "b1"]);
    await begun[1]?.end(false);
    expect(items()).toEqual(["a1", "a2", "b1", "a3"]);
    await begun[3]?.end(true);
    expect(items()).toEqual(["a1", "a2", "b1", "a3", "a4", "a5"]);
  });

  it("give each lane its turn", async () => {
    const { lanes, begun, items } = createLanes(1, 1);
    for (const item of ["a1", "a2", "a3", "b1", "c1"]) lanes.add(item.charAt(0), item);
    for (let index = 0; index < 5; index++) await begun[index]?.end(true);
    expect(items()).toEqual(["a1", "a2", "b1", "c1", "a3"]);
  });

  it("begin nothing once they are stopped, and tell when all has ended", async () => {
    const { lanes, begun, items } = createLanes(1, 1);
    lanes.add("a", "a1");
    lanes.add("a", "a2");
    let stopped = false;
    const done = lanes.stop().then(() => {
      stopped = true;
    });
    await new Promise((settled) => setImmediate(settled));
    expect(stopped).toBe(false);
    await begun[0]?.end(true);
    await done;
    expect(items()).toEqual(["a1"]);
    await createLanes(1, 1).lanes.stop();
  });
});
