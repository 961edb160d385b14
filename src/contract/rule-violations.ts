import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ownValidator } from "../own-validator.ts";

export interface RuleViolation {
  /** One sentence, with its field. */
  readonly message: string;
  /** By its path; absent for fields that have no name here. */
  readonly field?: string;
}

/** What is wrong with an option or an override by the rules of our own contracts. */
export function ruleViolations<Desc extends DescMessage>(schema: Desc, message: Message): RuleViolation[] {
  const unknown = unknownFields(reflect(schema, message as never)).map((message) => ({ message }));
  const checked = ownValidator.validate(schema, message as never);
  if (checked.kind === "error") throw checked.error;
  const broken = (checked.violations ?? []).map((violation) => {
    const field = pathToString(violation.field);
    return { message: `${field}: ${violation.message}`, field };
  });
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
