import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";

/** Files in an order in which they can be loaded: each after what it imports. */
export function importsFirst(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const ordered = new Set<FileDescriptorProto>();
  const visit = (file: FileDescriptorProto): void => {
    for (const name of file.dependency) for (const found of files) if (found.name === name) visit(found);
    ordered.add(file);
  };
  files.forEach(visit);
  return [...ordered];
}
