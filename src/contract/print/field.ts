import { isFieldSet } from "@bufbuild/protobuf";
import { protoCamelCase } from "@bufbuild/protobuf/reflect";
import {
  type DescriptorProto,
  Edition,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import type { Path, PrintContext } from "./context.ts";
import { braced, statement, withOptions } from "./layout.ts";
import { stringLiteral } from "./literal.ts";
import type { PrintedOption, PrintedOptions } from "./options.ts";
import type { Comments } from "./source.ts";

/** The message that a map or group field brings with it, and its printed body. */
export interface Synthetic {
  readonly message: DescriptorProto;
  readonly comments: Comments;
  body(): string[];
}

/** Prints a field or an extension; `synthetic` is its map entry or group. */
export function printField(
  context: PrintContext,
  field: FieldDescriptorProto,
  scope: string,
  path: Path,
  synthetic: Synthetic | undefined,
): string[] {
  const comments = context.source.comments(path);
  const options = fieldOptions(context, field, scope);
  if (synthetic?.message.options?.mapEntry === true) {
    const [key, value] = synthetic.message.field;
    if (key === undefined || value === undefined)
      throw new Error(`${scope}.${field.name}: a map entry without a key or value`);
    const type = `map<${typeOf(context, key, scope)}, ${typeOf(context, value, scope)}>`;
    return statement(withOptions(`${type} ${field.name} = ${field.number}`, options), comments);
  }
  const label = labelOf(context, field);
  if (synthetic !== undefined) {
    const head = withOptions(`${label}group ${synthetic.message.name} = ${field.number}`, options);
    // Compilers attach the comments of a group to its message.
    const { before, trailing } = hasComments(comments) ? comments : synthetic.comments;
    const open = head.pop()?.replace(/;$/, "") ?? "";
    return [...before, ...head, ...braced(open, synthetic.body(), { before: [], trailing })];
  }
  const line = `${label}${typeOf(context, field, scope)} ${field.name} = ${field.number}`;
  return statement(withOptions(line, options), comments);
}

function hasComments({ before, trailing }: Comments): boolean {
  return before.length + trailing.length > 0;
}

/** The field's type as it is written, a name in the shortest form that `scope` resolves. */
function typeOf({ names }: PrintContext, field: FieldDescriptorProto, scope: string): string {
  if (field.typeName !== "") return names(field.typeName.replace(/^\./, ""), scope);
  return Type[field.type].toLowerCase();
}

function labelOf({ edition }: PrintContext, field: FieldDescriptorProto): string {
  if (field.label === Label.REPEATED) return "repeated ";
  if (field.label === Label.REQUIRED) return "required ";
  if (field.proto3Optional) return "optional ";
  const inOneof = isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex);
  return edition === Edition.EDITION_PROTO2 && !inOneof ? "optional " : "";
}

/** The default and the JSON name are written among the options, though the descriptor keeps them elsewhere. */
function fieldOptions(context: PrintContext, field: FieldDescriptorProto, scope: string): PrintedOptions {
  const options: PrintedOption[] = [];
  if (isFieldSet(field, FieldDescriptorProtoSchema.field.defaultValue)) {
    options.push({ name: "default", value: defaultValue(field) });
  }
  if (field.jsonName !== "" && field.jsonName !== protoCamelCase(field.name)) {
    options.push({ name: "json_name", value: stringLiteral(field.jsonName) });
  }
  const declared = context.options(FieldOptionsSchema, field.options, scope);
  return { options: [...options, ...declared.options], unresolved: declared.unresolved };
}

function defaultValue({ type, defaultValue }: FieldDescriptorProto): string {
  if (type === Type.STRING) return stringLiteral(defaultValue);
  // The descriptor holds the default of bytes with escapes already, as in C.
  if (type === Type.BYTES) return `"${defaultValue}"`;
  return defaultValue;
}
