import { clone, type DescFile, toBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { standardFiles } from "./standard-files.ts";

/** The files and all that they import, each once, every file after its imports; standard files are the server's own. */
export function withImports(files: Iterable<DescFile>): DescFile[] {
  const ordered = new Set<DescFile>();
  const visit = (given: DescFile): void => {
    const file = standardFiles.get(given.proto.name) ?? given;
    if (ordered.has(file)) return;
    for (const dependency of file.dependencies) visit(dependency);
    ordered.add(file);
  };
  for (const file of files) visit(file);
  return [...ordered];
}

/** What a file declares, in one form whatever compiled it. */
export function normalForm({ proto }: Pick<DescFile, "proto">): FileDescriptorProto {
  const normal = clone(FileDescriptorProtoSchema, proto);
  // Generated code leaves these out; and buf writes fields of its own into the files of its images.
  delete normal.sourceCodeInfo;
  delete normal.$unknown;
  normal.messageType.forEach(addJsonNames);
  return normal;
}

/** What protoc compiles into Python, and Python's reflection tells, has none where they go without saying. */
function addJsonNames(message: DescriptorProto): void {
  for (const field of message.field) field.jsonName ||= jsonName(field.name);
  message.nestedType.forEach(addJsonNames);
}

/** As protoc derives it: of each "_x" an "X" is left. */
function jsonName(name: string): string {
  return name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase());
}

const serialised = new WeakMap<DescFile, Uint8Array>();

/** The normal form of a file, serialised; computed once a file. */
export function fileBytes(file: DescFile): Uint8Array {
  let bytes = serialised.get(file);
  if (bytes === undefined) {
    bytes = toBinary(FileDescriptorProtoSchema, normalForm(file));
    serialised.set(file, bytes);
  }
  return bytes;
}
