import {
  clone,
  create,
  createRegistry,
  type DescMessage,
  type JsonValue,
  type Message,
  type MessageShape,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Any, AnySchema, anyPack, anyUnpack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { Contracts } from "./contracts.ts";

/**
 * A message in its JSON form. Types of `Any` within it are fetched by reflection; one that cannot be had shows its type
 * and its bytes: `{"@type": …, "value": "base64"}`.
 */
export async function messageJson<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  contracts: Contracts,
): Promise<JsonValue> {
  await learnAnys(reflect(schema, message), contracts);
  try {
    return toJson(schema, message, { registry: contracts.registry });
  } catch {
    return withUnknownAnys(schema, message, contracts.registry);
  }
}

/** The message in an Any; undefined when its type cannot be had. */
export async function unpackAny(any: Any, contracts: Contracts): Promise<ReflectMessage | undefined> {
  const typeName = typeNameOf(any);
  await contracts.learn([typeName]);
  const schema = contracts.registry.getMessage(typeName);
  const message = schema && decode(any, contracts.registry);
  return schema && message && reflect(schema, message);
}

export function typeNameOf({ typeUrl }: Any): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

async function learnAnys(message: ReflectMessage, contracts: Contracts): Promise<void> {
  for (const any of anysIn(message)) {
    const inner = await unpackAny(any, contracts);
    if (inner !== undefined) await learnAnys(inner, contracts);
  }
}

function decode(any: Any, registry: Registry): Message | undefined {
  try {
    return anyUnpack(any, registry);
  } catch {
    return undefined;
  }
}

function* anysIn(message: ReflectMessage): Generator<Any> {
  if (message.desc.typeName === AnySchema.typeName) {
    yield message.message as Any;
    return;
  }
  for (const field of message.fields) {
    if (field.message === undefined || !message.isSet(field)) continue;
    switch (field.fieldKind) {
      case "message":
        yield* anysIn(message.get(field));
        break;
      case "list":
        for (const item of message.get(field)) yield* anysIn(item as ReflectMessage);
        break;
      case "map":
        for (const value of message.get(field).values()) yield* anysIn(value as ReflectMessage);
        break;
    }
  }
}

/** Puts a text in the place of what has no JSON form, and exchanges the texts in the JSON. */
function withUnknownAnys<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  known: Registry,
): JsonValue {
  const registry = createRegistry(known, StringValueSchema);
  const copy = clone(schema, message);
  const shown: JsonValue[] = [];
  const mark = `retake-unknown-${message.$typeName}-`;
  for (const any of anysIn(reflect(schema, copy))) {
    if (hasJson(any, registry)) continue;
    shown.push({ "@type": any.typeUrl, value: Buffer.from(any.value).toString("base64") });
    anyPack(StringValueSchema, create(StringValueSchema, { value: `${mark}${shown.length - 1}` }), any);
  }
  const exchange = (value: JsonValue): JsonValue => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(exchange);
    const text = value["value"];
    if (typeof text === "string" && text.startsWith(mark)) return shown[Number(text.slice(mark.length))] ?? value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, exchange(each)]));
  };
  return exchange(toJson(schema, copy, { registry }));
}

function hasJson(any: Any, registry: Registry): boolean {
  try {
    toJson(AnySchema, any, { registry });
    return true;
  } catch {
    return false;
  }
}
