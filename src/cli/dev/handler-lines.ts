import { type DescField, type DescMessage, type DescMethod, ScalarType } from "@bufbuild/protobuf";
import { ProgressSchema } from "../../../gen/retake/v1/run_pb.js";
import { isUpdate } from "../lint/linted.ts";

/** A handler for a workflow, to be pasted into the object that implements its service: it answers, with empty values. */
export function handlerLines(method: DescMethod): string[] {
  const { localName, output, methodKind } = method;
  const updates = output.fields.filter(isUpdate);
  if (methodKind !== "server_streaming") {
    return [`async ${localName}(request, context) {`, `  return ${initText(output.fields)};`, "},"];
  }
  const progress = updates.find(({ message }) => message?.typeName === ProgressSchema.typeName);
  const results = output.fields.filter((field) => !updates.includes(field));
  return [
    `async *${localName}(request, context) {`,
    ...(progress === undefined ? [] : [`  yield ${memberText(progress, '{ stage: "working", fraction: 0 }')};`]),
    `  yield ${resultText(results)};`,
    "},",
  ];
}

function resultText(results: readonly DescField[]): string {
  const [alternative] = results.filter(({ oneof }) => oneof !== undefined);
  if (alternative !== undefined && results.length === 1) return memberText(alternative, valueText(alternative));
  return initText(results);
}

function memberText(field: DescField, value: string): string {
  if (field.oneof === undefined) return `{ ${field.localName}: ${value} }`;
  return `{ ${field.oneof.localName}: { case: ${JSON.stringify(field.localName)}, value: ${value} } }`;
}

function initText(fields: readonly DescField[]): string {
  const plain = fields.filter(({ oneof }) => oneof === undefined);
  if (plain.length === 0) return "{}";
  return `{ ${plain.map((field) => `${field.localName}: ${valueText(field)}`).join(", ")} }`;
}

function valueText(field: DescField): string {
  switch (field.fieldKind) {
    case "list":
      return "[]";
    case "map":
    case "message":
      return field.message === undefined || field.fieldKind === "map" ? "{}" : messageText(field.message);
    case "enum":
      return String(field.enum.values[0]?.number ?? 0);
    case "scalar":
      return scalarText(field.scalar, field.longAsString);
  }
}

/** One level is enough to see how it goes on. */
function messageText(message: DescMessage): string {
  const scalars = message.fields.filter((field) => field.fieldKind === "scalar" && field.oneof === undefined);
  return scalars.length === 0 || message.typeName.startsWith("google.protobuf.") ? "{}" : initText(scalars);
}

function scalarText(scalar: ScalarType, longAsString: boolean): string {
  switch (scalar) {
    case ScalarType.STRING:
      return '""';
    case ScalarType.BOOL:
      return "false";
    case ScalarType.BYTES:
      return "new Uint8Array()";
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return longAsString ? '"0"' : "0n";
    default:
      return "0";
  }
}
