import { getHeapSpaceStatistics, getHeapStatistics } from "node:v8";

const mebibyte = 1024 * 1024;
/** What V8 takes for each of the three parts of the space for young objects, where no flag says otherwise. */
const defaultSemiSpaceMebibytes = 32;
const youngSpaces: ReadonlySet<string> = new Set(["new_space", "new_large_object_space"]);

/** How much of V8's heap is in use, and how much there may be before the process ends for want of it: without young objects. */
export interface HeapUse {
  readonly usedBytes: number;
  readonly limitBytes: number;
}

/**
 * V8's own limit has room for young objects in it, which those that stay never get: a heap of 256 MB would be full at 72 % of
 * it.
 */
export function heapUse(): HeapUse {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  let youngBytes = 0;
  for (const { space_name: name, space_used_size: bytes } of getHeapSpaceStatistics()) {
    if (youngSpaces.has(name)) youngBytes += bytes;
  }
  return { usedBytes: Math.max(0, used - youngBytes), limitBytes: limit - youngLimitBytes };
}

const youngLimitBytes = 3 * semiSpaceMebibytes() * mebibyte;

function semiSpaceMebibytes(): number {
  const flags = [process.env["NODE_OPTIONS"] ?? "", ...process.execArgv].join(" ");
  const given = [...flags.matchAll(/--max[-_]semi[-_]space[-_]size=(\d+)/g)].at(-1)?.[1];
  return given === undefined || Number(given) === 0 ? defaultSemiSpaceMebibytes : Number(given);
}
