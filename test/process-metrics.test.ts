import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it, onTestFinished } from "vitest";
import { systemClock } from "../src/clock.ts";
import { type HistogramCell, Instruments } from "../src/instruments.ts";
import { observeProcess } from "../src/process-metrics.ts";

const collectGarbage = (): void => {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
};

it("tells of the event loop, of V8's heap by its spaces, and how long each kind of collection took", async () => {
  const instruments = new Instruments(100);
  onTestFinished(observeProcess(instruments, systemClock));
  const of = (name: string) => {
    const families = instruments.collect((error) => expect(error).toBeUndefined());
    const family = families.find(({ description }) => description.name === name);
    return [...(family?.cells() ?? [])];
  };
  for (const name of ["used", "space.size", "space.available_size", "space.physical_size"]) {
    const spaces = of(`v8js.memory.heap.${name}`).map(({ attributes }) => attributes["v8js.heap.space.name"]);
    expect(spaces).toEqual(expect.arrayContaining(["new_space", "old_space", "code_space", "large_object_space"]));
  }
  const states = of("nodejs.eventloop.time").map(({ attributes }) => attributes["nodejs.eventloop.state"]);
  expect(states).toEqual(["active", "idle"]);
  for (const name of ["min", "stddev"]) expect(of(`nodejs.eventloop.delay.${name}`)).toHaveLength(1);
  collectGarbage();
  const isMajor = ({ attributes }: Pick<HistogramCell, "attributes">) => attributes["v8js.gc.type"] === "major";
  await expect.poll(() => of("v8js.gc.duration").find(isMajor)).toMatchObject({ bounds: [0.01, 0.1, 1, 10] });
  expect(of("v8js.gc.duration").find(isMajor)).toMatchObject({ sum: expect.any(Number) });
});
