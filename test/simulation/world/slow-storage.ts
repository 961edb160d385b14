import type { Journal, StreamAppend } from "../../../src/runs/ports/journal.ts";
import type { Payloads } from "../../../src/runs/ports/payloads.ts";
import type { Storage } from "../../../src/server/index.ts";

export interface SlowStorageOptions {
  /** Called before each read: resolves when it is its turn. */
  queue(): Promise<void>;
  /** Told what is ordered, before anything is done about it. */
  onAppend(appends: readonly StreamAppend[]): void;
}

/** A storage whose reads take their time, so that others come in between, and whose appends are seen. */
export function slowStorage(storage: Storage, { queue, onAppend }: SlowStorageOptions): Storage {
  const inner = storage.journal;
  const slow = async <T>(read: () => Promise<T>): Promise<T> => {
    await queue();
    return read();
  };
  const journal: Journal = {
    append(appends, options) {
      onAppend(appends);
      return inner.append(appends, options);
    },
    order(appends, settled, options) {
      onAppend(appends);
      inner.order(appends, settled, options);
    },
    read: (...args) => slow(() => inner.read(...args)),
    listStreams: (...args) => slow(() => inner.listStreams(...args)),
    listRuns: (...args) => slow(() => inner.listRuns(...args)),
    findRunByKey: (...args) => slow(() => inner.findRunByKey(...args)),
    listRetired: (...args) => slow(() => inner.listRetired(...args)),
    countEnded: () => slow(() => inner.countEnded()),
    listEnded: (...args) => slow(() => inner.listEnded(...args)),
    deleteStreams: (streams) => inner.deleteStreams(streams),
    flush: () => inner.flush(),
    get status() {
      return inner.status;
    },
    onStatus: (listener) => inner.onStatus(listener),
    close: () => inner.close(),
  };
  const payloads: Payloads = {
    put: (...args) => storage.payloads.put(...args),
    get: (...args) => slow(() => storage.payloads.get(...args)),
    deleteRuns: (runIds) => storage.payloads.deleteRuns(runIds),
  };
  return { journal, payloads, artifacts: storage.artifacts, close: () => storage.close() };
}
