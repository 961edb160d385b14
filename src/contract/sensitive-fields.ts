import { clone, type DescField, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectList, type ReflectMap, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { reachableMessages } from "./reachable-messages.ts";

const known = new WeakMap<DescMessage, boolean>();

/** Whether a message, at any depth, has fields that are marked `debug_redact`. */
export function hasSensitiveFields(schema: DescMessage): boolean {
  let sensitive = known.get(schema);
  if (sensitive === undefined) {
    sensitive = reachableMessages(schema)
      .values()
      .some(({ fields }) => fields.some(isSensitive));
    known.set(schema, sensitive);
  }
  return sensitive;
}

/** What stands in the place of a text that is marked. */
const instead = "[redacted]";

/** A copy without the contents of fields that are marked `debug_redact`; the message itself when it has none. */
export function withoutSensitive<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): MessageShape<Desc> {
  if (!hasSensitiveFields(schema)) return message;
  const copy = clone(schema, message);
  visit(reflect(schema, copy), (holder, field) => {
    if (field.fieldKind === "scalar" && typeof holder.get(field) === "string") holder.set(field, instead);
    else holder.clear(field);
  });
  return copy;
}

/** Shorter ones stand in too many texts by chance. */
const shortestValue = 4;

/** The texts in fields that are marked `debug_redact`, the longest first. */
export function sensitiveTexts(schema: DescMessage, message: Message): string[] {
  if (!hasSensitiveFields(schema)) return [];
  const texts = new Set<string>();
  visit(reflect(schema, message as never), (holder, field) => collect(holder.get(field), texts));
  return [...texts].filter(({ length }) => length >= shortestValue).sort((a, b) => b.length - a.length);
}

/** A text in which none of these stands any more. */
export function withoutTexts(text: string, texts: readonly string[]): string {
  let result = text;
  for (const each of texts) result = result.replaceAll(each, instead);
  return result;
}

function visit(holder: ReflectMessage, onSensitive: (holder: ReflectMessage, field: DescField) => void): void {
  for (const field of holder.fields) {
    if (!holder.isSet(field)) continue;
    if (isSensitive(field)) {
      onSensitive(holder, field);
      continue;
    }
    if (field.fieldKind === "message") {
      visit(holder.get(field) as ReflectMessage, onSensitive);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of holder.get(field) as ReflectList) visit(item as ReflectMessage, onSensitive);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const item of (holder.get(field) as ReflectMap).values()) visit(item as ReflectMessage, onSensitive);
    }
  }
}

function collect(value: unknown, texts: Set<string>): void {
  if (typeof value === "string") {
    texts.add(value);
  } else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    if (Symbol.iterator in value) {
      for (const item of value as Iterable<unknown>) collect(item, texts);
    } else if ("fields" in value) {
      const message = value as ReflectMessage;
      for (const field of message.fields) if (message.isSet(field)) collect(message.get(field), texts);
    }
  }
}

function isSensitive(field: DescField): boolean {
  return field.proto.options?.debugRedact === true;
}
