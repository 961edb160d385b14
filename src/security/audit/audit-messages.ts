import type { TextRedactorOptions } from "../redaction/index.ts";
import type { AuditFilesOptions } from "./audit-files.ts";
import type { AuditNote } from "./audit-note.ts";
import type { AuditPage, AuditQuery, AuditSlice } from "./audit-query.ts";
import type { Appended, AuditEcho, TallySlice } from "./audit-store.ts";

/** What the thread of the log is started with. */
export interface AuditThreadData extends Omit<AuditFilesOptions, "redactor"> {
  readonly redaction: TextRedactorOptions;
  readonly echo: AuditEcho;
}

/** What it is asked to do. */
export interface HostedAudit {
  /** What is damaged, once. */
  open(): string | undefined;
  append(batch: string, nowMs: number): Appended;
  search(query: AuditQuery, page: AuditPage): AuditSlice;
  tally(sinceMs: number, untilMs: number, from?: number): TallySlice;
  note(): AuditNote;
}
