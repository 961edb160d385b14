import { isFieldSet } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  MessageOptionsSchema,
  type OneofDescriptorProto,
  OneofOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { type Path, type PrintContext, qualify, usesEditions } from "./context.ts";
import { printEnum } from "./enum.ts";
import { printField, type Synthetic } from "./field.ts";
import { braced, type Declaration, layOut, optionStatements, withGap } from "./layout.ts";
import { orderUnits, type Unit } from "./order.ts";
import { printExtensionRanges, printReserved } from "./ranges.ts";
import { commentsOf } from "./source.ts";
import { visibility } from "./visibility.ts";

/** What a file and a message have in common: both hold extensions, messages and enums, a message fields as well. */
export interface Container {
  /** Full name of the message, or the package. */
  readonly scope: string;
  readonly fields?: Members<FieldDescriptorProto>;
  readonly oneofs?: Members<OneofDescriptorProto>;
  readonly extensions: Members<FieldDescriptorProto>;
  readonly messages: Members<DescriptorProto>;
  readonly enums: Members<EnumDescriptorProto>;
}

/** Elements of one kind, and the path of their list. */
export interface Members<T> {
  readonly list: readonly T[];
  readonly path: Path;
}

/** Prints the members of a container: fields with their oneofs, extensions, messages, enums. */
export function printMembers(context: PrintContext, container: Container): Declaration[] {
  const { source } = context;
  const { scope, messages, enums } = container;
  const declaration = (path: Path, lines: string[]): Declaration => ({ lines, position: source.position(path) });

  const synthetics = findSynthetics(context, container);
  const print = (field: FieldDescriptorProto, path: Path): Declaration => {
    const index = synthetics.get(field);
    const message = index === undefined ? undefined : messages.list[index];
    if (index === undefined || message === undefined) {
      return declaration(path, printField(context, field, scope, path, undefined));
    }
    const messagePath = [...messages.path, index];
    const synthetic: Synthetic = {
      message,
      comments: source.comments(messagePath),
      body: () => messageBody(context, message, qualify(scope, message.name), messagePath),
    };
    return declaration(path, printField(context, field, scope, path, synthetic));
  };
  const unit = (value: Declaration, ...declarers: readonly FieldDescriptorProto[]): Unit<Declaration> => ({
    value,
    declares: declarers.map((field) => synthetics.get(field)).filter((index) => index !== undefined),
  });

  const fieldUnits = printFields(context, container, print, unit);
  const extensionUnits = container.extensions.list.map((extension, index) => {
    const path = [...container.extensions.path, index];
    const written = source.statement(path);
    const open = `extend ${context.names(extension.extendee.replace(/^\./, ""), scope)}`;
    const block = { key: written ?? open, open, comments: commentsOf(written) };
    return unit({ ...print(extension, path), block }, extension);
  });
  const declaredByFields = new Set(synthetics.values());
  const messageUnits = messages.list.flatMap((message, index): Unit<Declaration>[] => {
    if (declaredByFields.has(index)) return [];
    const path = [...messages.path, index];
    return [{ value: declaration(path, printMessage(context, message, scope, path)), declares: [index] }];
  });
  const printedEnums = enums.list.map((type, index) => {
    const path = [...enums.path, index];
    return declaration(path, printEnum(context, type, scope, path));
  });
  return [...orderUnits(fieldUnits, extensionUnits, messageUnits), ...printedEnums];
}

function printFields(
  { source, options }: PrintContext,
  { scope, fields, oneofs }: Container,
  print: (field: FieldDescriptorProto, path: Path) => Declaration,
  unit: (value: Declaration, ...declarers: readonly FieldDescriptorProto[]) => Unit<Declaration>,
): Unit<Declaration>[] {
  if (fields === undefined || oneofs === undefined) return [];
  const indexed = fields.list.map((field, index) => ({ field, path: [...fields.path, index], oneof: oneofOf(field) }));
  const units: Unit<Declaration>[] = [];
  const printed = new Set<number>();
  for (const { field, path, oneof } of indexed) {
    if (oneof === undefined) {
      units.push(unit(print(field, path), field));
      continue;
    }
    // A oneof is printed whole where its first field stands.
    if (printed.has(oneof)) continue;
    printed.add(oneof);
    const oneofPath = [...oneofs.path, oneof];
    const declared = oneofs.list[oneof];
    const members = indexed.filter((other) => other.oneof === oneof);
    const body = withGap(
      optionStatements(options(OneofOptionsSchema, declared?.options, scope), source, [...oneofPath, 2]),
      layOut(members.map((member) => print(member.field, member.path))),
    );
    const lines = braced(`oneof ${declared?.name ?? ""}`, body, source.comments(oneofPath));
    const position = source.position(oneofPath);
    units.push(unit({ lines, position }, ...members.map((member) => member.field)));
  }
  return units;
}

/** Prints a message that is declared as such. */
function printMessage(context: PrintContext, message: DescriptorProto, scope: string, path: Path): string[] {
  const open = `${visibility(message.visibility)}message ${message.name}`;
  const body = messageBody(context, message, qualify(scope, message.name), path);
  return braced(open, body, context.source.comments(path));
}

function messageBody(context: PrintContext, message: DescriptorProto, scope: string, path: Path): string[] {
  const members = printMembers(context, {
    scope,
    fields: { list: message.field, path: [...path, 2] },
    oneofs: { list: message.oneofDecl, path: [...path, 8] },
    extensions: { list: message.extension, path: [...path, 6] },
    messages: { list: message.nestedType, path: [...path, 3] },
    enums: { list: message.enumType, path: [...path, 4] },
  });
  return withGap(
    optionStatements(context.options(MessageOptionsSchema, message.options, scope), context.source, [...path, 7]),
    layOut([
      ...printReserved(context, message, [...path, 9], [...path, 10]),
      ...printExtensionRanges(context, message, scope, [...path, 5]),
      ...members,
    ]),
  );
}

/** The messages, by index, that are written as part of a field: entries of maps, and groups. */
function findSynthetics(context: PrintContext, container: Container): Map<FieldDescriptorProto, number> {
  const { scope, fields, extensions, messages } = container;
  const synthetics = new Map<FieldDescriptorProto, number>();
  const candidates = new Map(messages.list.map((message, index) => [`.${qualify(scope, message.name)}`, index]));
  for (const field of [...(fields?.list ?? []), ...extensions.list]) {
    const index = candidates.get(field.typeName);
    if (index === undefined) continue;
    const isGroup = field.type === Type.GROUP && !usesEditions(context);
    if (isGroup || messages.list[index]?.options?.mapEntry === true) synthetics.set(field, index);
  }
  return synthetics;
}

/** The index of the oneof that the field is written in; that of a proto3 optional field exists in descriptors only. */
function oneofOf(field: FieldDescriptorProto): number | undefined {
  const { oneofIndex } = FieldDescriptorProtoSchema.field;
  return isFieldSet(field, oneofIndex) && !field.proto3Optional ? field.oneofIndex : undefined;
}
