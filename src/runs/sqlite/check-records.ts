import { fromBinary } from "@bufbuild/protobuf";
import { AccessRuleEventSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import { ApiKeyEventSchema } from "../../../gen/retake/v1/api_key_pb.js";
import { BreakerEventSchema } from "../../../gen/retake/v1/breaker_pb.js";
import { FaultEventSchema } from "../../../gen/retake/v1/fault_pb.js";
import { PolicyOverrideEventSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import { QualityEventSchema } from "../../../gen/retake/v1/quality_event_pb.js";
import { PayloadKeyEventSchema } from "../../../gen/retake/v1/storage_pb.js";
import { OutboxEventSchema } from "../../../gen/retake/v1/webhook_pb.js";
import { WorkflowEventSchema } from "../../../gen/retake/v1/workflow_event_pb.js";
import { IllegalEventError } from "../run-record.ts";

/** How streams that belong to no run are read when a server starts, by how their names begin. */
const readers: readonly (readonly [prefix: string, read: (data: Uint8Array) => { event: { case: unknown } }])[] = [
  ["api-key", (data) => fromBinary(ApiKeyEventSchema, data)],
  ["access/", (data) => fromBinary(AccessRuleEventSchema, data)],
  ["breaker/", (data) => fromBinary(BreakerEventSchema, data)],
  ["faults", (data) => fromBinary(FaultEventSchema, data)],
  ["outbox/", (data) => fromBinary(OutboxEventSchema, data)],
  ["payload-keys", (data) => fromBinary(PayloadKeyEventSchema, data)],
  ["pause/", (data) => fromBinary(WorkflowEventSchema, data)],
  ["quality/", (data) => fromBinary(QualityEventSchema, data)],
  ["policy/", (data) => fromBinary(PolicyOverrideEventSchema, data)],
];

/** Looks at a record of a stream that belongs to no run. @throws IllegalEventError when a server could not read it */
export function checkRecord(stream: string, sequence: number, data: Uint8Array): void {
  const [, read] = readers.find(([prefix]) => stream.startsWith(prefix)) ?? [];
  if (read !== undefined && !isEvent(read, data)) {
    throw new IllegalEventError(`record ${sequence} is no event: the journal is damaged`);
  }
}

function isEvent(read: (typeof readers)[number][1], data: Uint8Array): boolean {
  try {
    return read(data).event.case !== undefined;
  } catch {
    return false;
  }
}
