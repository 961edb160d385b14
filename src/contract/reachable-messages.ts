import type { DescMessage } from "@bufbuild/protobuf";

/** A message and every message that its fields can hold, at any depth, each once. */
export function reachableMessages(root: DescMessage): ReadonlySet<DescMessage> {
  const found = new Set<DescMessage>([root]);
  // A set is iterated in order of insertion and sees what is added meanwhile: this visits all without recursing.
  for (const message of found) {
    for (const field of message.fields) {
      if (field.message !== undefined) found.add(field.message);
    }
  }
  return found;
}
