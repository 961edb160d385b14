import { create, createFileRegistry, type DescFile, type DescService } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { AccessControl } from "../../../src/security/index.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";

/** The same contract, read anew. */
function readAnew({ file, typeName }: DescService): DescService {
  const files = new Map<string, DescFile>();
  const collect = (each: DescFile): void => {
    if (files.has(each.name)) return;
    for (const dependency of each.dependencies) collect(dependency);
    files.set(each.name, each);
  };
  collect(file);
  const set = create(FileDescriptorSetSchema, { file: [...files.values()].map(({ proto }) => proto) });
  const service = createFileRegistry(set).getService(typeName);
  if (service === undefined) throw new Error(`there is no ${typeName}`);
  return service;
}

describe("access while contracts are replaced", () => {
  function replaced(services: readonly DescService[]) {
    const contracts = createContractRegistry({ services: [AccessService], ownServices: [RunService] });
    const access = new AccessControl({ contracts, clock: createVirtualClock(), log: silentLogger });
    const before = access.requirement(AccessService.method.authenticated);
    contracts.replace(contracts.read({ services, ownServices: [RunService] }));
    return { access, before };
  }

  it("is asked by name of calls that were read by the contract from before", () => {
    const { access, before } = replaced([readAnew(AccessService)]);
    expect(access.requirement(AccessService.method.authenticated)).toEqual(before);
    expect(access.requirement(AccessService.method.undeclared)).toMatchObject({ min: AccessLevel.ADMIN });
    expect(access.requirement(RunService.method.getRun).min).toBe(AccessLevel.PUBLIC);
  });

  it.each([
    ["has a condition, which reads other messages", [readAnew(AccessService)]],
    ["is not served any more", []],
  ])("is put off for a method that %s", (_, services) => {
    const { access } = replaced(services);
    let error: unknown;
    try {
      access.requirement(AccessService.method.conditional);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConnectError);
    expect((error as ConnectError).code).toBe(Code.Unavailable);
    expect((error as ConnectError).findDetails(RetryInfoSchema)).toHaveLength(1);
  });
});
