import { ownModule } from "../../own-files.ts";
import { WorkerCalls } from "../../worker-calls.ts";
import type { AuditThreadData, HostedAudit } from "./audit-messages.ts";
import type { AuditNote } from "./audit-note.ts";
import type { AuditPage, AuditQuery, AuditSlice } from "./audit-query.ts";
import type { Appended, AuditStore, TallySlice } from "./audit-store.ts";

/**
 * An audit log in files, on a thread of its own: chaining, writing and syncing take several times what recording may cost.
 */
export class AuditThread implements AuditStore {
  readonly #calls: WorkerCalls<HostedAudit>;

  constructor(data: AuditThreadData) {
    this.#calls = new WorkerCalls({ url: ownModule("security/audit/audit-worker"), name: "retake-audit", data });
  }

  open(): Promise<string | undefined> {
    return this.#calls.call("open");
  }

  append(batch: string, nowMs: number): Promise<Appended> {
    return this.#calls.call("append", batch, nowMs);
  }

  search(query: AuditQuery, page: AuditPage): Promise<AuditSlice> {
    return this.#calls.call("search", query, page);
  }

  tally(sinceMs: number, untilMs: number, from?: number): Promise<TallySlice> {
    return this.#calls.call("tally", sinceMs, untilMs, from);
  }

  /** Where the log ends. */
  note(): Promise<AuditNote> {
    return this.#calls.call("note");
  }

  close(): Promise<void> {
    return this.#calls.close();
  }
}
