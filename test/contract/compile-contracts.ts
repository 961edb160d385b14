import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  create,
  createFileRegistry,
  type DescFile,
  type DescService,
  type FileRegistry,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { printProto } from "../../src/contract/print-proto.ts";
import { compileProtos } from "../compile-protos.ts";

const protos = join(import.meta.dirname, "..", "..", "proto");

/** Compiles contracts, given as sources by their import path, that may import ours and protovalidate's. */
export async function compileContracts(sources: Readonly<Record<string, string>>): Promise<FileRegistry> {
  const own = ["retake/v1/options.proto", "retake/v1/run.proto", "retake/v1/rules.proto"];
  const imports = await Promise.all(
    own.map(async (name) => [name, await readFile(join(protos, name), "utf8")] as const),
  );
  return compileProtos({
    ...Object.fromEntries(imports),
    "buf/validate/validate.proto": printProto(file_buf_validate_validate),
    ...sources,
  });
}

/** A source with the usual head. */
export function contractSource(packageName: string, body: string): string {
  return `
    syntax = "proto3";
    package ${packageName};
    import "buf/validate/validate.proto";
    import "google/protobuf/timestamp.proto";
    import "retake/v1/options.proto";
    import "retake/v1/run.proto";
    ${body}`;
}

/** The same service as a descriptor set would bring it, changed on the way if asked to. */
export function loadedAnew(service: DescService, change: (file: FileDescriptorProto) => void = () => {}): DescService {
  const files = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    file.dependencies.forEach(visit);
    files.add(file);
  };
  visit(service.file);
  const set = create(FileDescriptorSetSchema, { file: [...files].map(({ proto }) => proto) });
  const copy = fromBinary(FileDescriptorSetSchema, toBinary(FileDescriptorSetSchema, set));
  for (const file of copy.file) if (file.name === service.file.proto.name) change(file);
  const loaded = createFileRegistry(copy).getService(service.typeName);
  if (loaded === undefined) throw new Error(`${service.typeName} is lost`);
  return loaded;
}
