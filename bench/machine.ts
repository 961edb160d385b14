import { statfsSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";

/** Where the figures were measured. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly node: string;
  readonly platform: string;
  /** Of the minute before the bench. */
  readonly loadAverage: number;
  /** Whether the data directory is in memory, where a sync costs nothing. */
  readonly dataInMemory: boolean;
}

/** `TMPFS_MAGIC` of statfs(2). */
const tmpfs = 0x01021994;

export function readMachine(dataDirectory: string): Machine {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    loadAverage: loadavg()[0] ?? 0,
    dataInMemory: statfsSync(dataDirectory).type === tmpfs,
  };
}
