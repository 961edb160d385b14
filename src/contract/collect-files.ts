import {
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  toBinary,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import {
  DescriptorProtoSchema,
  EnumDescriptorProtoSchema,
  FieldDescriptorProtoSchema,
  ServiceDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import type { ContractProblem } from "./contract-error.ts";
import { fileBytes, withImports } from "./files.ts";
import { standardFiles } from "./standard-files.ts";

type DescType = DescMessage | DescEnum | DescExtension | DescService;

/**
 * Joins the files of all services with the standard ones, by name. The same file, or type, may come from several
 * contracts; two different ones under one name are a problem, because nobody could tell which of them is meant.
 */
export function collectFiles(
  services: Iterable<DescService>,
  problems: ContractProblem[],
): ReadonlyMap<string, DescFile> {
  const files = new Map<string, DescFile>();
  const types = new Map<string, DescType>();
  const roots = [...services].map(({ file }) => file);
  for (const file of withImports([...standardFiles.values(), ...roots])) {
    const name = file.proto.name;
    const known = files.get(name);
    if (known === undefined) {
      files.set(name, file);
      addTypes(file, types, problems);
    } else if (!equalBytes(fileBytes(known), fileBytes(file))) {
      problems.push({ where: name, message: differentFiles });
    }
  }
  return files;
}

const differentFiles =
  "two contracts bring different files of this name. Compile them from the same version of it, or under different paths";

function addTypes(file: DescFile, types: Map<string, DescType>, problems: ContractProblem[]): void {
  for (const type of nestedTypes(file)) {
    const known = types.get(type.typeName);
    if (known === undefined) {
      types.set(type.typeName, type);
    } else if (known.kind !== type.kind || !equalBytes(typeBytes(known), typeBytes(type))) {
      problems.push({
        where: type.typeName,
        message: `is defined in ${known.file.proto.name} and, differently, in ${file.proto.name}. Rename one of them`,
      });
    }
  }
}

function typeBytes(type: DescType): Uint8Array {
  switch (type.kind) {
    case "message":
      return toBinary(DescriptorProtoSchema, type.proto);
    case "enum":
      return toBinary(EnumDescriptorProtoSchema, type.proto);
    case "extension":
      return toBinary(FieldDescriptorProtoSchema, type.proto);
    case "service":
      return toBinary(ServiceDescriptorProtoSchema, type.proto);
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
