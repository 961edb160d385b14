import { AuditOutcome, type AuditRecord } from "../../../gen/retake/v1/audit_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { msFromTimestamp } from "../../runs/index.ts";
import type { AuditEntry } from "./audit-entry.ts";
import { writeAuditLine } from "./audit-line.ts";

/** The line that a record was read from, byte for byte: what is exported can be verified like the log itself. */
export function lineOfRecord(record: AuditRecord): string {
  const { time, sequence, level, outcome, count, previousSha256, ...texts } = record;
  const entry: AuditEntry = {
    ...texts,
    timeMs: msFromTimestamp(time),
    level: AccessLevel[level] ?? "",
    outcome: (AuditOutcome[outcome] ?? "").toLowerCase() as AuditEntry["outcome"],
    count: Number(count),
  };
  return writeAuditLine(entry, Number(sequence), previousSha256);
}
