import type { DescMessage } from "@bufbuild/protobuf";

/** A duration is one value: its seconds must not be joined with another's nanoseconds. */
export function isValue({ typeName }: DescMessage): boolean {
  return typeName.startsWith("google.protobuf.");
}
