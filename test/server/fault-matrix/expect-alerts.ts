import { expect } from "vitest";
import type { FaultCase } from "./faults.ts";
import { startWorld } from "./world.ts";

/** Plays a fault: what it must raise is raised, nothing else is at any time, and the dead-man alert fires. */
export async function expectAlerts({ raises, lasts, world: options, play }: FaultCase): Promise<void> {
  const world = await startWorld(options);
  await play(world);
  expect(await world.fired()).toEqual([...raises].sort());
  if (lasts) expect(await world.firing()).toEqual([...raises].sort());
  expect(await world.lives()).toBe(true);
}
