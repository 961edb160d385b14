import { fdatasync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";

const syncAtOnce = promisify(fdatasync);

/** Far more than those may wait who are refused. */
const delayMs = 300;

/** What the thread of a journal in trouble syncs by, instead of `fdatasync` alone. */
export async function sync(file: number): Promise<void> {
  await syncAtOnce(file);
  await setTimeout(delayMs);
}
