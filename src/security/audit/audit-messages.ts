import type { TextRedactorOptions } from "../redaction/index.ts";
import type { AuditFilesOptions } from "./audit-files.ts";

/** What the thread of the log is started with. */
export interface AuditThreadData extends Omit<AuditFilesOptions, "redactor"> {
  readonly redaction: TextRedactorOptions;
  /** Whether somebody wants the records that were written. */
  readonly echo: boolean;
}

export type AuditMethod = "append" | "search" | "tally";

export type AuditThreadRequest =
  | { readonly number: number; readonly method: AuditMethod; readonly args: readonly unknown[] }
  | "close";

export interface AuditThreadReply {
  readonly number: number;
  readonly result?: unknown;
  readonly failure?: string;
}
