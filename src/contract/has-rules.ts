import { type DescMessage, hasOption } from "@bufbuild/protobuf";
import { field, message, oneof } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { reachableMessages } from "./reachable-messages.ts";

const known = new WeakMap<DescMessage, boolean>();

/** Whether a message, or any that it can hold, has validation rules at all. Remembered for each type. */
export function hasRules(root: DescMessage): boolean {
  let found = known.get(root);
  if (found === undefined) {
    found = reachableMessages(root).values().some(hasOwnRules);
    known.set(root, found);
  }
  return found;
}

function hasOwnRules(type: DescMessage): boolean {
  return (
    hasOption(type, message) ||
    type.fields.some((member) => hasOption(member, field)) ||
    type.oneofs.some((group) => hasOption(group, oneof))
  );
}
