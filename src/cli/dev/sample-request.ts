import {
  create,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Validator } from "@bufbuild/protovalidate";
import {
  type FieldRules,
  field as fieldOption,
  oneof as oneofOption,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { isKeyField } from "../../contract/index.ts";

/** A request that the server takes, as far as that can be made up. */
export interface SampleRequest {
  readonly message: Message;
  /** What is still wrong with it, each by its field: rules that only a person understands. */
  readonly problems: readonly string[];
}

/** Makes a request that keeps the rules of its contract. Its texts are the names of their fields. */
export function sampleRequest(schema: DescMessage, validator: Validator): SampleRequest {
  const message = create(schema);
  fill(reflect(schema, message), 0);
  const { violations = [] } = validator.validate(schema, message);
  return { message, problems: violations.map((violation) => violation.toString()) };
}

/** Where types hold themselves, somewhere is enough. */
const deepest = 4;

function fill(message: ReflectMessage, depth: number): void {
  for (const member of message.members) {
    if (member.kind === "oneof") {
      const [first] = member.fields;
      const required = hasOption(member, oneofOption) && getOption(member, oneofOption).required;
      if (required && first !== undefined) set(message, first, depth);
    } else if (isWanted(member, depth)) {
      set(message, member, depth);
    }
  }
}

/** What must be there, and what a reader expects to see: texts, and what has rules. */
function isWanted(field: DescField, depth: number): boolean {
  if (isKeyField(field) || depth > deepest) return false;
  const rules = rulesOf(field);
  switch (field.fieldKind) {
    case "list":
      return rules?.required === true || (rules?.type.case === "repeated" && rules.type.value.minItems > 0n);
    case "map":
      return rules?.required === true || (rules?.type.case === "map" && rules.type.value.minPairs > 0n);
    case "message":
      return rules?.required === true;
    case "scalar":
      return rules !== undefined || (field.scalar === ScalarType.STRING && field.proto.proto3Optional !== true);
    case "enum":
      return rules !== undefined;
  }
}

function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, fieldOption) ? getOption(field, fieldOption) : undefined;
}

function set(message: ReflectMessage, field: DescField, depth: number): void {
  const rules = rulesOf(field);
  switch (field.fieldKind) {
    case "scalar":
      message.set(field, scalarSample(field.scalar, field.name, rules));
      return;
    case "enum":
      message.set(
        field,
        enumSample(
          field.enum.values.map(({ number }) => number),
          rules,
        ),
      );
      return;
    case "message":
      message.set(field, messageSample(field.message, rules, depth));
      return;
    case "list": {
      const given = rules?.type.case === "repeated" ? rules.type.value : undefined;
      const list = message.get(field);
      for (let index = 0; index < Math.max(1, Number(given?.minItems ?? 1n)); index++) {
        // Rules may want them to differ.
        const name = index === 0 ? field.name : `${field.name} ${index + 1}`;
        if (field.listKind === "scalar") list.add(scalarSample(field.scalar, name, given?.items, index));
        else if (field.listKind === "enum")
          list.add(
            enumSample(
              field.enum.values.map(({ number }) => number),
              given?.items,
            ),
          );
        else list.add(messageSample(field.message, given?.items, depth));
      }
      return;
    }
    case "map": {
      const given = rules?.type.case === "map" ? rules.type.value : undefined;
      const map = message.get(field);
      for (let index = 0; index < Math.max(1, Number(given?.minPairs ?? 1n)); index++) {
        const key = scalarSample(field.mapKey, `key ${index + 1}`, given?.keys, index) as string | number;
        if (field.mapKind === "scalar") map.set(key, scalarSample(field.scalar, field.name, given?.values));
        else if (field.mapKind === "enum")
          map.set(
            key,
            enumSample(
              field.enum.values.map(({ number }) => number),
              given?.values,
            ),
          );
        else map.set(key, messageSample(field.message, given?.values, depth));
      }
    }
  }
}

function messageSample(schema: DescMessage, rules: FieldRules | undefined, depth: number): ReflectMessage {
  const message = reflect(schema, create(schema));
  if (schema.typeName === "google.protobuf.Duration") {
    const bounds = rules?.type.case === "duration" ? rules.type.value : undefined;
    const least = bounds?.greaterThan.case === undefined ? undefined : bounds.greaterThan.value;
    const seconds = schema.fields.find(({ name }) => name === "seconds");
    if (seconds !== undefined) message.set(seconds, least === undefined ? 1n : least.seconds + 1n);
    return message;
  }
  fill(message, depth + 1);
  return message;
}

function enumSample(numbers: readonly number[], rules: FieldRules | undefined): number {
  const given = rules?.type.case === "enum" ? rules.type.value : undefined;
  if (given?.in[0] !== undefined) return given.in[0];
  if (given !== undefined && given.const !== 0) return given.const;
  return numbers.find((number) => number !== 0 && given?.notIn.includes(number) !== true) ?? numbers[0] ?? 0;
}

function scalarSample(
  scalar: ScalarType,
  name: string,
  rules: FieldRules | undefined,
  index = 0,
): string | number | bigint | boolean | Uint8Array {
  switch (scalar) {
    case ScalarType.STRING:
      return stringSample(name, rules);
    case ScalarType.BOOL:
      return true;
    case ScalarType.BYTES: {
      const given = rules?.type.case === "bytes" ? rules.type.value : undefined;
      return new Uint8Array(Number(given?.len || given?.minLen || 1n)).fill(65);
    }
    default:
      return numberSample(scalar, rules, index);
  }
}

/** Formats that a text can be asked to have. */
const formats: Readonly<Record<string, string>> = {
  uuid: "3b241101-e2bb-4255-8caf-4136c566a962",
  tuuid: "3b241101e2bb42558caf4136c566a962",
  email: "someone@example.com",
  hostname: "example.com",
  ip: "127.0.0.1",
  ipv4: "127.0.0.1",
  ipv6: "::1",
  uri: "https://example.com/",
  uriRef: "https://example.com/",
  address: "example.com",
  hostAndPort: "example.com:443",
};

function stringSample(name: string, rules: FieldRules | undefined): string {
  const given = rules?.type.case === "string" ? rules.type.value : undefined;
  if (given?.const) return given.const;
  if (given?.in[0] !== undefined) return given.in[0];
  if (given?.wellKnown.case !== undefined && formats[given.wellKnown.case] !== undefined) {
    return formats[given.wellKnown.case] ?? "";
  }
  const text = `${given?.prefix ?? ""}${given?.contains || `a ${name.replaceAll("_", " ")}`}${given?.suffix ?? ""}`;
  const least = Number(given?.len || given?.minLen || given?.minBytes || 0n);
  const most = Number(given?.len || given?.maxLen || given?.maxBytes || 0n) || Number.POSITIVE_INFINITY;
  return text.padEnd(least, "a").slice(0, most);
}

function numberSample(scalar: ScalarType, rules: FieldRules | undefined, index: number): number | bigint {
  const given = rules?.type.value as NumberRules | undefined;
  const long = [ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64];
  const value = numberWithin(given) + index;
  return long.includes(scalar) ? BigInt(Math.round(value)) : value;
}

interface NumberRules {
  readonly const?: number | bigint;
  readonly in?: readonly (number | bigint)[];
  readonly greaterThan?: { readonly case: string | undefined; readonly value?: number | bigint };
  readonly lessThan?: { readonly case: string | undefined; readonly value?: number | bigint };
}

function numberWithin(given: NumberRules | undefined): number {
  if (given?.const) return Number(given.const);
  if (given?.in?.[0] !== undefined) return Number(given.in[0]);
  const { greaterThan: above, lessThan: below } = given ?? {};
  const least = above?.case === undefined ? undefined : Number(above.value);
  const most = below?.case === undefined ? undefined : Number(below.value);
  if (least === undefined) return most === undefined || most > 1 ? 1 : below?.case === "lt" ? most - 1 : most;
  if (above?.case === "gte") return least;
  // Between two that are near each other, halfway.
  return most !== undefined && most <= least + 1 ? (least + most) / 2 : least + 1;
}
