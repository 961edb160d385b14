import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ownValidator } from "../own-validator.ts";

/** What is wrong with an option or an override by the rules of our own contracts: one sentence each, with its field. */
export function ruleViolations<Desc extends DescMessage>(schema: Desc, message: Message): string[] {
  const unknown = unknownFields(reflect(schema, message as never));
  const checked = ownValidator.validate(schema, message as never);
  if (checked.kind === "error") throw checked.error;
  const broken = (checked.violations ?? []).map(({ field, message }) => `${pathToString(field)}: ${message}`);
  return [...unknown, ...broken];
}

/** An option that is silently ignored could be the one that keeps strangers out. */
function unknownFields(message: ReflectMessage): string[] {
  const here = (message.getUnknown() ?? []).map(
    ({ no }) =>
      `sets the field ${no} of ${message.desc.typeName}, which this version does not know; upgrade the server`,
  );
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === "message") {
      here.push(...unknownFields(message.get(field)));
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) here.push(...unknownFields(item as ReflectMessage));
    }
  }
  return here;
}
