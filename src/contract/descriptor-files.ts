import { createFileRegistry, type DescFile, type FileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { ContractError, type ContractProblem } from "./contract-error.ts";
import { normalForm } from "./files.ts";
import { standardFiles } from "./standard-files.ts";

/** Files with contracts, and where they come from, for the messages: "contracts.binpb", "the reflection of gpu:50061". */
export interface DescriptorSource {
  readonly name: string;
  readonly files: readonly FileDescriptorProto[];
}

/** Reads a serialised `FileDescriptorSet`. @throws ContractError that says how to make one */
export function parseDescriptorSet(bytes: Uint8Array, name: string): DescriptorSource {
  let set: FileDescriptorSet;
  try {
    set = fromBinary(FileDescriptorSetSchema, bytes);
  } catch {
    throw new ContractError([{ where: name, message: `is no descriptor set. ${howToMake}` }]);
  }
  // Nearly everything is a message with unknown fields.
  if (set.file.length === 0 || set.file.some((file) => file.name === "")) {
    const message = bytes.length === 0 ? "is empty" : "holds no files: it is no descriptor set";
    throw new ContractError([{ where: name, message: `${message}. ${howToMake}` }]);
  }
  return { name, files: set.file };
}

const howToMake =
  "Make one with `buf build -o contracts.binpb`, or `protoc --include_imports --descriptor_set_out=contracts.binpb …`";

/**
 * Loads the files of all sources into one registry, each file once, beside the standard files, which are the server's own.
 * Adds what is wrong with any of them to the problems, and leaves such files out.
 */
export function loadDescriptors(
  sources: readonly DescriptorSource[],
  problems: ContractProblem[],
): ReadonlyMap<string, DescFile> {
  const given = joinSources(sources, problems);
  const loaded = new Map<string, DescFile>(standardFiles);
  for (const { file, source } of importsFirst(given)) {
    const missing = file.dependency.filter((name) => !loaded.has(name));
    if (missing.length > 0) {
      // Those that are there and could not be loaded have been told already.
      const absent = missing.filter((name) => !given.has(name));
      if (absent.length > 0) problems.push({ where: source, message: missingImports(file.name, absent) });
      continue;
    }
    try {
      const registry: FileRegistry = createFileRegistry(file, (name) => loaded.get(name));
      const desc = registry.getFile(file.name);
      if (desc !== undefined) loaded.set(file.name, desc);
    } catch (error) {
      problems.push({ where: source, message: `${file.name} cannot be read: ${(error as Error).message}` });
    }
  }
  return new Map([...loaded].filter(([name]) => given.has(name)));
}

function missingImports(name: string, absent: readonly string[]): string {
  const files = absent.map((file) => `"${file}"`).join(", ");
  return `${name} imports ${files}, which ${absent.length === 1 ? "is" : "are"} not in it. ${howToMake}`;
}

interface GivenFile {
  readonly file: FileDescriptorProto;
  readonly source: string;
}

function joinSources(
  sources: readonly DescriptorSource[],
  problems: ContractProblem[],
): ReadonlyMap<string, GivenFile> {
  const joined = new Map<string, GivenFile>();
  for (const { name: source, files } of sources) {
    for (const file of files) {
      if (standardFiles.has(file.name)) continue;
      const known = joined.get(file.name);
      if (known === undefined) {
        joined.set(file.name, { file, source });
      } else if (!sameFile(known.file, file)) {
        const message = `and ${source} bring different files ${file.name}. Compile both from the same version of it`;
        problems.push({ where: known.source, message });
      }
    }
  }
  return joined;
}

function sameFile(a: FileDescriptorProto, b: FileDescriptorProto): boolean {
  return a === b || Buffer.compare(normalBytes(a), normalBytes(b)) === 0;
}

function normalBytes(proto: FileDescriptorProto): Uint8Array {
  return toBinary(FileDescriptorProtoSchema, normalForm({ proto }));
}

/** Files that import each other, which no compiler makes, are left for whoever loads them to stumble over. */
function importsFirst(files: ReadonlyMap<string, GivenFile>): GivenFile[] {
  const sorted = new Set<GivenFile>();
  const entered = new Set<string>();
  const enter = (name: string): void => {
    const given = files.get(name);
    if (given === undefined || entered.has(name)) return;
    entered.add(name);
    given.file.dependency.forEach(enter);
    sorted.add(given);
  };
  for (const name of files.keys()) enter(name);
  return [...sorted];
}
