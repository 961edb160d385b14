import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/** Files and all that they import, as compilers write them: imports come before what imports them. */
export function descriptorSet(...files: readonly DescFile[]): Uint8Array {
  const protos = new Map<string, FileDescriptorProto>();
  const add = (file: DescFile): void => {
    if (!protos.has(file.name)) {
      file.dependencies.forEach(add);
      protos.set(file.name, file.proto);
    }
  };
  files.forEach(add);
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...protos.values()] }));
}
