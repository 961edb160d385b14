import { type DescField, type DescMessage, getOption, ScalarType } from "@bufbuild/protobuf";
import { idempotency_key } from "../../gen/retake/v1/options_pb.js";

/** Whether a field is marked `(retake.v1.idempotency_key)`. */
export function isKeyField(field: DescField): boolean {
  return getOption(field, idempotency_key);
}

/** Why a marked field cannot carry a key; undefined if it can. */
export function keyFieldProblem(field: DescField): string | undefined {
  if (field.fieldKind === "list") return "carries the idempotency key and is repeated; a request has one key";
  if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING) {
    return "carries the idempotency key and is not a string";
  }
  if (field.oneof !== undefined) {
    return `carries the idempotency key and is one of the alternatives of "${field.oneof.name}"; move it out of the oneof`;
  }
  return undefined;
}

/** The fields of a request that are marked; a request that can be served has none or one. */
export function keyFields(input: DescMessage): DescField[] {
  return input.fields.filter(isKeyField);
}
