import {
  type AttributeValue,
  type ProtoWriter,
  type SeverityName,
  type WrittenRecords,
  writeLogRecord,
  writeRecords,
} from "../../otlp/index.ts";
import { type AuditLine, readAuditLine } from "./audit-line.ts";

/** Takes records as they are exported, once they are durable. It neither throws nor is waited for. */
export interface OtlpAuditSink {
  take(records: WrittenRecords): void;
}

/** What records are told by in the midst of lines of the log. */
const eventName = "retake.audit";

const outcomes: Readonly<Record<AuditLine["outcome"], readonly [name: string, severity: SeverityName]>> = {
  AUDIT_OUTCOME_GRANTED: ["granted", "info"],
  AUDIT_OUTCOME_DENIED: ["denied", "warn"],
  AUDIT_OUTCOME_FAILED: ["failed", "error"],
};

/** Lines of the log as log records of OpenTelemetry. They are redacted already: that is what is in the log's file. */
export function writeOtlpAudit(lines: readonly string[]): WrittenRecords {
  return writeRecords(lines, writeLine);
}

function writeLine(writer: ProtoWriter, text: string): void {
  const line = readAuditLine(text);
  const [outcome, severity] = outcomes[line.outcome] ?? ["", "info"];
  const { action, resource = "" } = line;
  writeLogRecord(writer, {
    ...{ timeMs: Date.parse(line.time), severity, eventName },
    body: resource === "" ? `${action} ${outcome}` : `${action} ${outcome} ${resource}`,
    attributes: attributesOf(line, outcome),
  });
}

function attributesOf(line: AuditLine, outcome: string): Record<string, AttributeValue> {
  // Those that are undefined are not there.
  const attributes: Record<string, AttributeValue> = {
    "retake.audit.sequence": Number(line.sequence),
    "retake.audit.level": line.level?.replace("ACCESS_LEVEL_", "") ?? "UNSPECIFIED",
    "retake.audit.count": Number(line.count ?? 1),
    "retake.audit.action": line.action,
    "retake.audit.outcome": outcome,
    "retake.audit.tenant": line.tenant,
    "retake.audit.subject": line.subject,
    "retake.audit.authentication": line.authentication,
    "retake.audit.credential": line.credential,
    "retake.audit.resource": line.resource,
    "retake.audit.source": line.source,
    "retake.audit.reason": line.reason,
  };
  for (const name in line.details) attributes[`retake.audit.details.${name}`] = line.details[name];
  return attributes;
}
