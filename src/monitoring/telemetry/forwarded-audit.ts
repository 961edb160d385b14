import type { AuditRecord } from "../../../gen/retake/v1/audit_pb.js";
import type { AuditSink } from "../../security/index.ts";

/** Records that are kept until somebody takes them: those of a start. */
const mostKept = 1_000;

/** Hands the records of the audit log on, once they are durable. */
export class ForwardedAudit implements AuditSink {
  #take: ((record: AuditRecord) => void) | undefined;
  #kept: AuditRecord[] = [];

  /** Hands on every record from now on, after those that there were before. */
  forward(take: (record: AuditRecord) => void): void {
    for (const record of this.#kept.splice(0)) take(record);
    this.#take = take;
  }

  write(records: readonly AuditRecord[]): void {
    for (const record of records) {
      if (this.#take !== undefined) this.#take(record);
      else if (this.#kept.length < mostKept) this.#kept.push(record);
    }
  }
}
