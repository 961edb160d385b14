import type { WrittenRecords } from "../../otlp/index.ts";
import type { OtlpAuditSink } from "../../security/index.ts";

/** Records that are kept until somebody takes them: those of a start. */
const mostKept = 1_000;

/** Hands the records of the audit log on, once they are durable, each as it is exported. */
export class ForwardedAudit implements OtlpAuditSink {
  #take: ((records: WrittenRecords) => void) | undefined;
  #kept: WrittenRecords[] = [];
  #keptRecords = 0;

  /** Hands on every record from now on, after those that there were before. */
  forward(take: (records: WrittenRecords) => void): void {
    for (const records of this.#kept.splice(0)) take(records);
    this.#take = take;
  }

  take(records: WrittenRecords): void {
    if (this.#take !== undefined) {
      this.#take(records);
    } else if (this.#keptRecords < mostKept) {
      this.#kept.push(records);
      this.#keptRecords += records.ends.length;
    }
  }
}
