import { createHash } from "node:crypto";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { contractSet, contractSha256 } from "../../src/contract/contract-set.ts";
import { compileRepository } from "../compile-protos.ts";
import { ContractService } from "../gen/retake/test/v1/contracts_pb.js";
import { loadedAnew } from "./compile-contracts.ts";

const generated = { service: ContractService };

describe("contractSet", () => {
  it("holds the service's file with all that it imports, imports first, and no source info", () => {
    const { file } = fromBinary(FileDescriptorSetSchema, contractSet(generated));
    const names = file.map(({ name }) => name);
    expect(names.at(-1)).toBe("retake/test/v1/contracts.proto");
    expect(names).toEqual(
      expect.arrayContaining([
        "retake/v1/options.proto",
        "buf/validate/validate.proto",
        "google/protobuf/descriptor.proto",
      ]),
    );
    expect(new Set(names).size).toBe(names.length);
    for (const [index, { dependency, sourceCodeInfo }] of file.entries()) {
      expect(names.slice(0, index)).toEqual(expect.arrayContaining(dependency));
      expect(sourceCodeInfo).toBeUndefined();
    }
  });

  it("can be loaded on its own", () => {
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, contractSet(generated)));
    expect(registry.getService("retake.test.v1.ContractService")?.methods).toHaveLength(4);
  });

  it("is the same for generated code and for what buf compiles", async () => {
    const compiled = (await compileRepository("proto", "test/proto")).getService(ContractService.typeName);
    if (compiled === undefined) throw new Error("the service is lost");
    expect(compiled.file.proto.sourceCodeInfo).toBeDefined();
    expect(Buffer.compare(contractSet({ service: compiled }), contractSet(generated))).toBe(0);
    expect(contractSha256({ service: compiled })).toEqual(contractSha256(generated));
  });
});

describe("contractSha256", () => {
  it("is the digest of the set", () => {
    expect(contractSha256(generated)).toEqual(createHash("sha256").update(contractSet(generated)).digest());
  });

  it("changes with the contract", () => {
    const changed = loadedAnew(ContractService, (file) => file.messageType.at(-1)?.field.pop());
    expect(contractSha256({ service: changed })).not.toEqual(contractSha256(generated));
    expect(contractSha256({ service: loadedAnew(ContractService) })).toEqual(contractSha256(generated));
  });
});
