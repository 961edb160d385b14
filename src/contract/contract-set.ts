import { createHash } from "node:crypto";
import { create, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { normalForm, withImports } from "./files.ts";

interface ContractSet {
  readonly bytes: Uint8Array;
  readonly sha256: Uint8Array;
}

const sets = new WeakMap<DescFile, ContractSet>();

/**
 * The contract of a service as a serialised `FileDescriptorSet`: its file with all that it imports, imports first.
 * Equal contracts give equal bytes, however they were compiled and loaded.
 */
export function contractSet({ service }: { readonly service: DescService }): Uint8Array {
  return setOf(service).bytes;
}

/** The SHA-256 of the `contractSet`. */
export function contractSha256({ service }: { readonly service: DescService }): Uint8Array {
  return setOf(service).sha256;
}

function setOf(service: DescService): ContractSet {
  let set = sets.get(service.file);
  if (set === undefined) {
    const file = withImports([service.file]).map(normalForm);
    const bytes = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
    set = { bytes, sha256: createHash("sha256").update(bytes).digest() };
    sets.set(service.file, set);
  }
  return set;
}
