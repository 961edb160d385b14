import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/** The fields of a message, at any depth, that its contract does not have: "scenes[2].7". */
export function unknownFields(schema: DescMessage, message: Message): string[] {
  return [...within(reflect(schema, message as never), "")];
}

function* within(message: ReflectMessage, path: string): Generator<string> {
  for (const { no } of message.getUnknown() ?? []) {
    yield `${path}${no}`;
  }
  for (const field of message.fields) {
    if (field.message === undefined || !message.isSet(field)) continue;
    switch (field.fieldKind) {
      case "message":
        yield* within(message.get(field), `${path}${field.name}.`);
        break;
      case "list": {
        let index = 0;
        for (const item of message.get(field))
          yield* within(item as ReflectMessage, `${path}${field.name}[${index++}].`);
        break;
      }
      case "map":
        for (const [key, value] of message.get(field)) {
          yield* within(value as ReflectMessage, `${path}${field.name}[${JSON.stringify(key)}].`);
        }
        break;
    }
  }
}
