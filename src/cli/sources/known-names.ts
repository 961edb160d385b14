import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { standardFiles } from "../../contract/index.ts";

/** The types that the language itself has. */
export const scalarTypes = [
  ..."double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string bytes".split(
    " ",
  ),
];

let names: ReadonlyMap<string, string> | undefined;

/** The file that declares a message, an enum, a service or an option that every contract may use, by its full name. */
export function standardNames(): ReadonlyMap<string, string> {
  names ??= new Map(
    [...standardFiles.values()].flatMap((file) =>
      [...nestedTypes(file)].map(({ typeName }) => [typeName, file.proto.name] as const),
    ),
  );
  return names;
}
