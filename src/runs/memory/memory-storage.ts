import type { Clock } from "../../clock.ts";
import type { Artifacts } from "../ports/artifacts.ts";
import type { Journal } from "../ports/journal.ts";
import type { Payloads } from "../ports/payloads.ts";
import { StorageHealth } from "../storage/storage-health.ts";
import { MemoryArtifacts } from "./memory-artifacts.ts";
import { MemoryJournal } from "./memory-journal.ts";
import { MemoryPayloads } from "./memory-payloads.ts";
import { MemoryQueue } from "./memory-queue.ts";

export interface MemoryStorageOptions {
  readonly clock: Clock;
  /**
   * Stands for the sync of a batch: nothing is acknowledged or readable before it resolves, and while it rejects the
   * storage fails and tries again; with an `UnsyncedError` it says that the batch is written, which is kept whatever it is. Default: resolves at once.
   */
  readonly durable?: () => Promise<void>;
  /** Bytes of one artifact. Default: 4 GiB. */
  readonly maxArtifactBytes?: number;
}

export interface MemoryStorage {
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly artifacts: Artifacts;
  /** Finishes what can be finished, and rejects the rest. The same as `journal.close`. */
  close(): Promise<void>;

  /**
   * Ends as a process does that is killed now: whatever is not durable is lost, and nobody is told anything any more.
   *
   * @param next what the storage of the next process is made with; it finds what was durable
   * @param batchIsStored whether the batch that is being synced has reached the disk, although nobody was told. Default: no
   */
  crash(next: MemoryStorageOptions, batchIsStored?: boolean): MemoryStorage;
}

/** Journal, payloads and artifacts in memory, by the same rules as the durable ones: for tests and simulations. */
export function createMemoryStorage(options: MemoryStorageOptions): MemoryStorage {
  return open(options);
}

interface Contents {
  readonly journal: MemoryJournal;
  readonly payloads: MemoryPayloads;
  readonly artifacts: MemoryArtifacts;
}

function open(options: MemoryStorageOptions, crashed?: Contents): MemoryStorage {
  const { clock, durable = async () => undefined, maxArtifactBytes } = options;
  const health = new StorageHealth();
  const queue = new MemoryQueue({ clock, health, durable });
  const artifacts = new MemoryArtifacts({
    clock,
    ...(maxArtifactBytes === undefined ? {} : { maxBytes: maxArtifactBytes }),
    ...(crashed === undefined ? {} : { crashed: crashed.artifacts }),
  });
  const close = async (): Promise<void> => {
    await artifacts.close();
    await queue.close();
  };
  const contents: Contents = {
    journal: new MemoryJournal({ queue, health, close, crashed: crashed?.journal }),
    payloads: new MemoryPayloads(queue, crashed?.payloads),
    artifacts,
  };
  return {
    ...contents,
    close,
    crash: (next, batchIsStored = false) => {
      queue.crash(batchIsStored);
      return open(next, contents);
    },
  };
}
