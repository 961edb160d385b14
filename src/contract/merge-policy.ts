import { clone, type Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type WorkflowPolicy, WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { clearPath } from "./cleared-paths.ts";
import { isValue } from "./is-value.ts";

/**
 * The contract's policy with the operator's override on top: what that clears is taken out, then messages merge field by field
 * and maps entry by entry, lists are replaced, and what the override leaves unset stays. Neither input is changed.
 */
export function mergePolicy(contract: WorkflowPolicy, override: WorkflowPolicy | undefined): WorkflowPolicy {
  const merged = clone(WorkflowPolicySchema, contract);
  if (override !== undefined) {
    const target = reflect(WorkflowPolicySchema, merged);
    for (const path of override.clear) clearPath(target, path);
    overlay(target, reflect(WorkflowPolicySchema, override));
  }
  merged.clear = [];
  return merged;
}

/** An override that does what two do, one after the other. */
export function joinOverrides(first: WorkflowPolicy, second: WorkflowPolicy): WorkflowPolicy {
  const joined = mergePolicy(first, second);
  joined.clear = [...new Set([...first.clear, ...second.clear])];
  return joined;
}

function overlay(target: ReflectMessage, source: ReflectMessage): void {
  for (const field of source.fields) {
    if (!source.isSet(field)) continue;
    if (field.fieldKind === "message" && target.isSet(field) && !isValue(field.message)) {
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
