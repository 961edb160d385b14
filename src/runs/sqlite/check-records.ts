import { fromBinary } from "@bufbuild/protobuf";
import { AccessRuleEventSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import {
  AlertEventSchema,
  AlertRuleEventSchema,
  NoticeEventSchema,
  SilenceEventSchema,
} from "../../../gen/retake/v1/alert_event_pb.js";
import { ApiKeyEventSchema } from "../../../gen/retake/v1/api_key_pb.js";
import { BreakerEventSchema } from "../../../gen/retake/v1/breaker_pb.js";
import { FaultEventSchema } from "../../../gen/retake/v1/fault_pb.js";
import { PolicyOverrideEventSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import { QualityEventSchema } from "../../../gen/retake/v1/quality_event_pb.js";
import {
  AuditLogBegunSchema,
  AuditLogNoteSchema,
  PayloadKeyEventSchema,
  RetryBudgetsEventSchema,
  SpansExportedSchema,
} from "../../../gen/retake/v1/storage_pb.js";
import { OutboxEventSchema } from "../../../gen/retake/v1/webhook_pb.js";
import { WorkflowEventSchema } from "../../../gen/retake/v1/workflow_event_pb.js";
import { IllegalEventError } from "../run-record.ts";

/** Whether a server that starts can read records of streams that belong to no run, by how the streams' names begin. */
const readers: readonly (readonly [prefix: string, isRead: (data: Uint8Array) => boolean])[] = [
  ["alerts/", (data) => fromBinary(AlertEventSchema, data).event.case !== undefined],
  ["alert-rules/", (data) => fromBinary(AlertRuleEventSchema, data).time !== undefined],
  ["api-key", (data) => fromBinary(ApiKeyEventSchema, data).event.case !== undefined],
  ["access/", (data) => fromBinary(AccessRuleEventSchema, data).event.case !== undefined],
  ["audit-log/", (data) => fromBinary(AuditLogNoteSchema, data).time !== undefined],
  ["audit-log", (data) => fromBinary(AuditLogBegunSchema, data).time !== undefined],
  ["breaker/", (data) => fromBinary(BreakerEventSchema, data).event.case !== undefined],
  ["exported/", (data) => fromBinary(SpansExportedSchema, data).time !== undefined],
  ["faults", (data) => fromBinary(FaultEventSchema, data).event.case !== undefined],
  ["notices/", (data) => fromBinary(NoticeEventSchema, data).time !== undefined],
  ["outbox/", (data) => fromBinary(OutboxEventSchema, data).event.case !== undefined],
  ["payload-keys", (data) => fromBinary(PayloadKeyEventSchema, data).event.case !== undefined],
  ["pause/", (data) => fromBinary(WorkflowEventSchema, data).event.case !== undefined],
  ["quality/", (data) => fromBinary(QualityEventSchema, data).event.case !== undefined],
  ["policy/", (data) => fromBinary(PolicyOverrideEventSchema, data).event.case !== undefined],
  ["retry-budgets/", (data) => fromBinary(RetryBudgetsEventSchema, data).time !== undefined],
  ["silences/", (data) => fromBinary(SilenceEventSchema, data).silence !== undefined],
];

/** Looks at a record of a stream that belongs to no run. @throws IllegalEventError when a server could not read it */
export function checkRecord(stream: string, sequence: number, data: Uint8Array): void {
  const [, isRead] = readers.find(([prefix]) => stream.startsWith(prefix)) ?? [];
  if (isRead !== undefined && !isEvent(isRead, data)) {
    throw new IllegalEventError(`record ${sequence} is no event: the journal is damaged`);
  }
}

function isEvent(isRead: (data: Uint8Array) => boolean, data: Uint8Array): boolean {
  try {
    return isRead(data);
  } catch {
    return false;
  }
}
