import type { JournalStatus } from "../ports/journal.ts";

type Failing = Extract<JournalStatus, { kind: "failing" }>;

const available: JournalStatus = { kind: "available" };

/** The status of a storage: it holds while none of its parts is in trouble. */
export class StorageHealth {
  readonly #troubles = new Map<string, Failing>();
  readonly #listeners = new Set<(status: JournalStatus) => void>();
  #status: JournalStatus = available;

  get status(): JournalStatus {
    return this.#status;
  }

  /** Calls back at each change, until the returned function is called. */
  onStatus(listener: (status: JournalStatus) => void): () => void {
    // A function of its own, so that the same listener can be added twice.
    const own = (status: JournalStatus): void => listener(status);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** A part is in trouble; it says so again when the cause changes. */
  fail(part: string, cause: Error, needsRestart = false): void {
    this.#troubles.set(part, { kind: "failing", cause, ...(needsRestart ? { needsRestart } : {}) });
    this.#update();
  }

  heal(part: string): void {
    this.#troubles.delete(part);
    this.#update();
  }

  #update(): void {
    const troubles = [...this.#troubles.values()];
    const next = troubles.find((trouble) => trouble.needsRestart) ?? troubles[0] ?? available;
    if (same(this.#status, next)) {
      return;
    }
    this.#status = next;
    for (const listener of [...this.#listeners]) {
      listener(next);
    }
  }
}

/** Retries fail with a new error each time; who listens wants to hear of it once. */
function same(before: JournalStatus, after: JournalStatus): boolean {
  if (before.kind === "available" || after.kind === "available") {
    return before.kind === after.kind;
  }
  return before.cause.message === after.cause.message && before.needsRestart === after.needsRestart;
}
