import { fdatasync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { slowSyncDelayMs } from "../subjects.ts";

const syncAtOnce = promisify(fdatasync);

/** What the journal's thread syncs by, instead of `fdatasync` alone. */
export async function sync(file: number): Promise<void> {
  await syncAtOnce(file);
  await setTimeout(slowSyncDelayMs);
}
