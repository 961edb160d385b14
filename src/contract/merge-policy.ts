import { clone, type Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type WorkflowPolicy, WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";

/**
 * The contract's policy with the operator's override on top: messages merge field by field and maps entry by entry, lists
 * are replaced, and what the override leaves unset stays. Neither input is changed.
 */
export function mergePolicy(contract: WorkflowPolicy, override: WorkflowPolicy | undefined): WorkflowPolicy {
  const merged = clone(WorkflowPolicySchema, contract);
  if (override !== undefined) overlay(reflect(WorkflowPolicySchema, merged), reflect(WorkflowPolicySchema, override));
  return merged;
}

function overlay(target: ReflectMessage, source: ReflectMessage): void {
  for (const field of source.fields) {
    if (!source.isSet(field)) continue;
    if (field.fieldKind === "message" && target.isSet(field) && !isValue(field.message.typeName)) {
      overlay(target.get(field), source.get(field));
    } else if (field.fieldKind === "message") {
      target.set(field, reflect(field.message, clone(field.message, source.get(field).message as Message)));
    } else if (field.fieldKind === "list") {
      target.clear(field);
      const list = target.get(field);
      for (const item of source.get(field)) list.add(item);
    } else if (field.fieldKind === "map") {
      const entries = target.get(field);
      for (const [key, value] of source.get(field)) entries.set(key, value);
    } else {
      target.set(field, source.get(field));
    }
  }
}

/** A duration is one value: its seconds must not be joined with the other's nanoseconds. */
function isValue(typeName: string): boolean {
  return typeName.startsWith("google.protobuf.");
}
