import type { WrittenRecords } from "../../otlp/index.ts";
import type { AuditPage, AuditQuery, AuditSlice } from "./audit-query.ts";
import type { AuditTally } from "./audit-tally.ts";

/** What is wanted of an append, besides that it is durable. */
export interface AuditEcho {
  readonly lines: boolean;
  readonly otlp: boolean;
}

/** What came of an append. */
export interface Appended {
  /** The records, as they were written; absent where nobody wants them. */
  readonly lines?: readonly string[];
  /** The records, as they are exported; absent where that is not wanted. */
  readonly otlp?: WrittenRecords;
  /** What was found when the log was opened, told once: it was set aside. */
  readonly damage?: string;
  /** Another file was begun for them. */
  readonly inNewFile?: true;
  /** Why they are not in the copy. */
  readonly copyFailure?: string;
}

export interface TallySlice {
  readonly tally: AuditTally;
  /** The number of the record to go on from. */
  readonly next?: number;
}

/** Where records are kept. */
export interface AuditStore {
  /** Opens the log, or begins one, before anything is to be recorded; what was damaged, if that was not told yet. */
  open(): Promise<string | undefined>;
  /** Makes records of events, as `AuditBatch` has written them; they are durable when it resolves, and not there when it rejects. */
  append(batch: string, nowMs: number): Promise<Appended>;
  /** A portion of a search: however much there is, this takes a bounded time. */
  search(query: AuditQuery, page: AuditPage): Promise<AuditSlice>;
  /** A portion of the records counted. */
  tally(sinceMs: number, untilMs: number, from?: number): Promise<TallySlice>;
  close(): Promise<void>;
}
