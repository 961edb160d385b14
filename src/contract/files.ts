import { clone, type DescFile, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
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

/** What a file declares, in one form whatever compiled it: without source info, which generated code leaves out. */
export function normalForm(file: DescFile): FileDescriptorProto {
  const proto = clone(FileDescriptorProtoSchema, file.proto);
  delete proto.sourceCodeInfo;
  return proto;
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
