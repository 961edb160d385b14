import { recordsOf, type WrittenRecords } from "../../otlp/index.ts";
import type { OtlpAuditSink } from "../../security/index.ts";

/** Records that are kept until somebody takes them: those of a start. */
const mostKept = 1_000;

/** Hands the records of the audit log on, once they are durable, each as it is exported. */
export class ForwardedAudit implements OtlpAuditSink {
  #take: ((record: Uint8Array) => void) | undefined;
  #kept: Uint8Array[] = [];

  /** Hands on every record from now on, after those that there were before. */
  forward(take: (record: Uint8Array) => void): void {
    for (const record of this.#kept.splice(0)) take(record);
    this.#take = take;
  }

  take(records: WrittenRecords): void {
    for (const record of recordsOf(records)) {
      if (this.#take !== undefined) this.#take(record);
      else if (this.#kept.length < mostKept) this.#kept.push(record);
    }
  }
}
