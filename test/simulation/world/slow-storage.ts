import type { Journal, Settled, StreamAppend } from "../../../src/runs/ports/journal.ts";
import type { Payloads } from "../../../src/runs/ports/payloads.ts";
import type { Storage } from "../../../src/server/index.ts";

export interface SlowStorageOptions {
  /** Called before each read: resolves when it is its turn, and rejects where it fails. */
  queue(): Promise<void>;
  /** Whether an append is refused, alone; nothing is done about it then, nor about what comes behind it. */
  refuses(append: StreamAppend): boolean;
  /** Told what is ordered and not refused, before anything is done about it. */
  onAppend(appends: readonly StreamAppend[]): void;
  /** Told what is refused. */
  onRefusal(appends: readonly StreamAppend[]): void;
}

/** What fails alone, whatever the others do. */
export class RefusedAppendError extends Error {
  override readonly name = "RefusedAppendError";
}

/** A storage whose reads take their time, so that others come in between, and whose appends are seen. */
export function slowStorage(storage: Storage, options: SlowStorageOptions): Storage {
  const { queue, onAppend } = options;
  const inner = storage.journal;
  /** Where streams will stand when all that was ordered is stored, as far as that is known. */
  const heads = new Map<string, number>();
  /** The streams that have ever lacked something: who has not noticed yet takes them to stand elsewhere. */
  const disturbed = new Set<string>();
  const isRefused = (appends: readonly StreamAppend[]): boolean => {
    const written = appends.filter(({ records }) => records.length > 0);
    const isNew = written.filter((append) => options.refuses(append)).length > 0;
    const follows = appends.some(
      ({ stream, expectedSequence }) =>
        disturbed.has(stream) && (heads.get(stream) ?? expectedSequence) !== expectedSequence,
    );
    for (const { stream, expectedSequence, records } of written) {
      if (isNew || follows) {
        disturbed.add(stream);
        heads.set(stream, heads.get(stream) ?? expectedSequence);
      } else {
        heads.set(stream, expectedSequence + records.length);
      }
    }
    return isNew || follows;
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
        options.onRefusal(appends);
        // In the order of the queue: what was ordered before it is settled before.
        inner.flush().then(() => settled(new RefusedAppendError("the journal refuses an append")), settled);
        return;
      }
      onAppend(appends);
      const told: Settled = (failure) => {
        for (const { stream } of failure === undefined ? [] : appends) {
          heads.delete(stream);
        }
        settled(failure);
      };
      inner.order(appends, told, orderOptions);
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
