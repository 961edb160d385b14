import type { Journal, StreamAppend } from "../../../src/runs/ports/journal.ts";
import type { Payloads } from "../../../src/runs/ports/payloads.ts";
import type { Storage } from "../../../src/server/index.ts";

export interface SlowStorageOptions {
  /** Called before each read: resolves when it is its turn, and rejects where it fails. */
  queue(): Promise<void>;
  /** Whether an append is refused; nothing is done about it then, nor about what follows it in its stream. */
  refuses(append: StreamAppend): boolean;
  /** Told what is ordered and not refused, before anything is done about it. */
  onAppend(appends: readonly StreamAppend[]): void;
}

/** What fails alone, whatever the others do. */
export class RefusedAppendError extends Error {
  override readonly name = "RefusedAppendError";
}

/** A storage whose reads take their time, so that others come in between, and whose appends are seen. */
export function slowStorage(storage: Storage, options: SlowStorageOptions): Storage {
  const { queue, onAppend } = options;
  const inner = storage.journal;
  /** The streams that lack what was refused, until whoever writes them has read them anew. */
  const refused = new Set<string>();
  const isRefused = (appends: readonly StreamAppend[]): boolean => {
    for (const append of appends) {
      if (!refused.has(append.stream) && options.refuses(append)) {
        refused.add(append.stream);
      }
    }
    return appends.some(({ stream }) => refused.has(stream));
  };
  const slow = async <T>(read: () => Promise<T>): Promise<T> => {
    await queue();
    return read();
  };
  const journal: Journal = {
    append(appends, options) {
      onAppend(appends);
      return inner.append(appends, options);
    },
    order(appends, settled, orderOptions) {
      if (isRefused(appends)) {
        // In the order of the queue: what was ordered before it is settled before.
        inner.flush().then(() => settled(new RefusedAppendError("the journal refuses an append")), settled);
        return;
      }
      onAppend(appends);
      inner.order(appends, settled, orderOptions);
    },
    read: (stream, ...range) => {
      refused.delete(stream);
      return slow(() => inner.read(stream, ...range));
    },
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
