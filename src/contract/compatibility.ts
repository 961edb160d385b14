import {
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  fromBinary,
  ScalarType,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { Workflow } from "./workflow.ts";
import { workflowName } from "./workflow.ts";

/**
 * Why runs that were accepted under an old contract cannot go on under the present one; nothing if they can. What was
 * journaled must mean the same: inputs in full, responses as far as they are still read.
 *
 * @param oldSet what `contractSet` gave when the run was accepted
 */
export function incompatibilities(oldSet: Uint8Array, workflow: Workflow): string[] {
  let old: DescMethod | undefined;
  try {
    const service = createFileRegistry(fromBinary(FileDescriptorSetSchema, oldSet)).getService(
      workflow.service.typeName,
    );
    old = service?.methods.find(({ name }) => name === workflow.method.name);
  } catch (cause) {
    return [`the contract that it was accepted under cannot be read: ${String(cause)}`];
  }
  if (old === undefined) return [`the contract that it was accepted under has no method ${workflow.name}`];
  return [...methodChanges(old, workflow), ...typeChanges(old, workflow)];
}

type Direction = "request" | "response";

function methodChanges(old: DescMethod, { method }: Workflow): string[] {
  const changes: string[] = [];
  const name = workflowName(method);
  if (old.methodKind !== method.methodKind) {
    changes.push(`${name} was ${kindName(old)} and is ${kindName(method)}`);
  }
  for (const direction of ["input", "output"] as const) {
    const [before, now] = [old[direction].typeName, method[direction].typeName];
    if (before !== now) changes.push(`the ${direction} of ${name} was ${before} and is ${now}`);
  }
  return changes;
}

function typeChanges(old: DescMethod, { input, output }: Workflow): string[] {
  const changes = new Set<string>();
  if (old.input.typeName === input.typeName) compare(old.input, input, "request", changes);
  if (old.output.typeName === output.typeName) compare(old.output, output, "response", changes);
  return [...changes];
}

/** Compares all pairs of types that the two reach together, each once: types may hold themselves. */
function compare(oldRoot: DescMessage, root: DescMessage, direction: Direction, changes: Set<string>): void {
  const pairs = new Map([[oldRoot.typeName, [oldRoot, root] as const]]);
  for (const [old, present] of pairs.values()) {
    const fields = new Map(present.fields.map((field) => [field.number, field]));
    for (const before of old.fields) {
      const now = fields.get(before.number);
      const change = now === undefined ? removal(before, direction) : fieldChange(before, now);
      if (change !== undefined) changes.add(change);
      if (now === undefined || change !== undefined) continue;
      if (direction === "request" && before.enum && now.enum) enumChanges(before.enum, now.enum, changes);
      if (before.message && now.message) pairs.set(before.message.typeName, [before.message, now.message]);
    }
    if (direction === "request") requirements(old, present, changes);
  }
}

/** A response may lose a field: what it held is not read any more. A request that loses one asks for something else. */
function removal(before: DescField, direction: Direction): string | undefined {
  return direction === "request" ? `${named(before)} is gone` : undefined;
}

function fieldChange(before: DescField, now: DescField): string | undefined {
  const [oldType, type] = [typeOf(before), typeOf(now)];
  if (oldType !== type) return `${named(before)} was ${oldType} and is ${type}`;
  const rival = now.oneof?.fields.find(({ number }) => number !== now.number && couldBeSetBeside(before, number));
  return rival && `${named(before)} could be set together with ${rival.name}, and is in a oneof with it now`;
}

/** Of two members of a oneof the last one read wins: fields that become rivals would lose values. */
function couldBeSetBeside(field: DescField, number: number): boolean {
  const other = field.parent.fields.find((candidate) => candidate.number === number);
  return other !== undefined && (field.oneof === undefined || other.oneof !== field.oneof);
}

function enumChanges(old: DescEnum, present: DescEnum, changes: Set<string>): void {
  for (const { name, number } of old.values) {
    if (present.value[number] === undefined) changes.add(`${old.typeName} has no value ${number} (${name}) any more`);
  }
}

/** Required fields (proto2) that old requests need not have. */
function requirements(old: DescMessage, present: DescMessage, changes: Set<string>): void {
  const before = new Map(old.fields.map((field) => [field.number, field]));
  for (const field of present.fields) {
    if (isRequired(field) && !isRequired(before.get(field.number))) changes.add(`${named(field)} is required now`);
  }
}

function isRequired(field: DescField | undefined): boolean {
  return field?.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
}

function named(field: DescField): string {
  return `field ${field.number} of ${field.parent.typeName} (${field.name})`;
}

/** What decides how a field is read from the wire. */
function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "map":
      return `map<${ScalarType[field.mapKey].toLowerCase()}, ${elementType(field)}>`;
    case "list":
      return `repeated ${elementType(field)}`;
    default:
      return elementType(field);
  }
}

function elementType(field: DescField): string {
  if (field.message !== undefined) {
    return field.delimitedEncoding ? `group ${field.message.typeName}` : field.message.typeName;
  }
  return field.enum === undefined ? ScalarType[field.scalar].toLowerCase() : field.enum.typeName;
}

function kindName({ methodKind }: Pick<DescMethod, "methodKind">): string {
  return methodKind.replace("_", "-");
}
