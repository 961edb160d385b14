import { millisToHrTime } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import { AuditOutcome, type AuditRecord } from "../../../gen/retake/v1/audit_pb.js";
import { msFromTimestamp } from "../../runs/index.ts";
import { levelName } from "../../security/index.ts";
import { scopeOf, severities } from "./log-records.ts";

/** What it is told by in the midst of lines of the log. */
const eventName = "retake.audit";

const outcomes: Readonly<Partial<Record<AuditOutcome, readonly [name: string, severity: keyof typeof severities]>>> = {
  [AuditOutcome.GRANTED]: ["granted", "info"],
  [AuditOutcome.DENIED]: ["denied", "warn"],
  [AuditOutcome.FAILED]: ["failed", "error"],
};

/** A record of the audit log as OpenTelemetry has it. It is redacted already: it is what is in the log's file. */
export function auditLogRecord(
  record: AuditRecord,
  { resource, version }: { readonly resource: Resource; readonly version: string },
): ReadableLogRecord {
  const time = millisToHrTime(msFromTimestamp(record.time));
  const [outcome, severity] = outcomes[record.outcome] ?? ["", "info"];
  return {
    ...{ hrTime: time, hrTimeObserved: time, resource, droppedAttributesCount: 0, eventName },
    ...severities[severity],
    body: [record.action, outcome, record.resource].filter((word) => word !== "").join(" "),
    instrumentationScope: scopeOf(version),
    attributes: attributesOf(record, outcome),
  };
}

function attributesOf(record: AuditRecord, outcome: string): Record<string, string | number> {
  const { sequence, action, tenant, subject, authentication, credential, resource, source, reason } = record;
  const texts = { action, outcome, tenant, subject, authentication, credential, resource, source, reason };
  const attributes: Record<string, string | number> = {
    [`${eventName}.sequence`]: Number(sequence),
    [`${eventName}.level`]: levelName(record.level),
    [`${eventName}.count`]: Math.max(1, Number(record.count)),
  };
  for (const [name, text] of Object.entries(texts)) {
    if (text !== "") attributes[`${eventName}.${name}`] = text;
  }
  for (const [name, text] of Object.entries(record.details)) attributes[`${eventName}.details.${name}`] = text;
  return attributes;
}
