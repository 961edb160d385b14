import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const module = new URL("../src/tick-shape.ts", import.meta.url).href;

/** Prints how long ticks took once garbage had been collected several times. */
const programOf = (isKept: boolean): string => `
  import { keepTickShape } from ${JSON.stringify(module)};
  const nothing = () => {};
  // The best of many, in time of this thread: whatever else the machine does is not counted.
  const measure = async () => {
    let best = Infinity;
    for (let round = 0; round < 20; round++) {
      const before = process.threadCpuUsage();
      for (let turn = 0; turn < 100; turn++) {
        for (let tick = 0; tick < 300; tick++) process.nextTick(nothing, tick);
        await new Promise(setImmediate);
      }
      const { user, system } = process.threadCpuUsage(before);
      best = Math.min(best, user + system);
    }
    return best;
  };
  if (${isKept}) keepTickShape();
  await measure();
  for (let collection = 0; collection < 6; collection++) {
    await new Promise(setImmediate);
    gc();
    await measure();
  }
  console.log(await measure());
`;

async function ticksOf(isKept: boolean): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...["--expose-gc", "--input-type=module", "--eval"],
    programOf(isKept),
  ]);
  return Number(stdout);
}

it("ticks cost less after collections of garbage where one of them is kept", async () => {
  // Without it they take five times as long.
  expect(await ticksOf(true)).toBeLessThan((await ticksOf(false)) / 1.5);
});
