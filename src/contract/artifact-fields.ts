import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ArtifactSchema } from "../../gen/retake/v1/artifact_pb.js";
import { reachableMessages } from "./reachable-messages.ts";

const artifactType = ArtifactSchema.typeName;
const fieldsOf = new WeakMap<DescMessage, readonly DescField[]>();

/** Whether a message is an artifact, or any that it can hold is. What is within an `Any` does not count. */
export function carriesArtifacts(schema: DescMessage): boolean {
  return schema.typeName === artifactType || artifactFields(schema).length > 0;
}

/** The ids of all artifacts in a message, each once. An artifact without an id refers to nothing. */
export function artifactIdsIn(schema: DescMessage, message: Message): readonly string[] {
  const ids = new Set<string>();
  collect(reflect(schema, message), ids);
  ids.delete("");
  return [...ids];
}

/** The fields by which a message leads to artifacts. Remembered for each type. */
function artifactFields(schema: DescMessage): readonly DescField[] {
  let fields = fieldsOf.get(schema);
  if (fields === undefined) {
    fields = schema.fields.filter(
      ({ message }) =>
        message !== undefined &&
        reachableMessages(message)
          .values()
          .some(({ typeName }) => typeName === artifactType),
    );
    fieldsOf.set(schema, fields);
  }
  return fields;
}

function collect(message: ReflectMessage, ids: Set<string>): void {
  if (message.desc.typeName === artifactType) {
    const id = message.desc.fields.find(({ name }) => name === "artifact_id");
    if (id !== undefined) ids.add(String(message.get(id)));
    return;
  }
  for (const field of artifactFields(message.desc)) {
    if (!message.isSet(field)) continue;
    switch (field.fieldKind) {
      case "message":
        collect(message.get(field), ids);
        break;
      case "list":
        for (const item of message.get(field)) collect(item as ReflectMessage, ids);
        break;
      case "map":
        for (const item of message.get(field).values()) collect(item as ReflectMessage, ids);
        break;
    }
  }
}
