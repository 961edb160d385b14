import { create, createRegistry, type DescService, fromJson, toJson } from "@bufbuild/protobuf";
import { AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { ContractError } from "../../src/contract/contract-error.ts";
import { createContractRegistry } from "../../src/contract/registry.ts";
import { ContractService } from "../gen/retake/test/v1/contracts_pb.js";
import { compileContracts, contractSource, loadedAnew } from "./compile-contracts.ts";

const workflow = "option (retake.v1.workflow) = {};";

const compiled = await compileContracts({
  "one.proto": contractSource(
    "one",
    `service One { rpc M(Shared) returns (Shared) { ${workflow} } } message Shared { string a = 1; }`,
  ),
  "pair.proto": contractSource(
    "pair",
    `service A { rpc M(In) returns (In) { ${workflow} } } service B { rpc M(In) returns (In) { ${workflow} } } message In {}`,
  ),
  "two.proto": contractSource(
    "two",
    `service Two { rpc M(In) returns (In) { ${workflow} } } message In { one.Shared shared = 1; }`,
  ).replace("import", 'import "one.proto"; import'),
});
const service = (name: string): DescService => {
  const found = compiled.getService(name);
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
};

function problemsOf(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof ContractError) return error.problems.map(({ where, message }) => `${where}: ${message}`);
    throw error;
  }
  return [];
}

describe.each([
  ["generated descriptors", ContractService],
  ["descriptors out of a set", loadedAnew(ContractService)],
])("a registry of %s", (_, contract) => {
  const contracts = createContractRegistry({ services: [contract], ownServices: [RunService, Health] });

  it("knows the workflows and all services", () => {
    expect([...contracts.workflows.keys()]).toContain("retake.test.v1.ContractService/Render");
    expect([...contracts.services.keys()]).toEqual([
      "grpc.health.v1.Health",
      "retake.test.v1.ContractService",
      "retake.v1.RunService",
    ]);
  });

  it("takes none of the server's own methods for a workflow", () => {
    expect([...contracts.workflows.keys()].filter((name) => !name.startsWith("retake.test"))).toEqual([]);
    const override = { "retake.v1.RunService/StartRun": create(WorkflowPolicySchema) };
    expect(
      problemsOf(() =>
        contracts.replace(contracts.read({ services: [contract], ownServices: [RunService], overrides: override })),
      ),
    ).toEqual([
      expect.stringContaining(
        "retake.v1.RunService/StartRun: is configured under `workflows`, but no contract has it.",
      ),
    ]);
  });

  it("knows every type of the contracts, the server, error details and the standard library", () => {
    for (const name of [
      "retake.test.v1.Shot",
      "retake.v1.Run",
      "google.rpc.BadRequest",
      "google.rpc.RetryInfo",
      "google.protobuf.Struct",
      "google.protobuf.FileDescriptorSet",
      "buf.validate.FieldRules",
    ]) {
      expect(contracts.registry.getMessage(name)?.typeName).toBe(name);
    }
    expect(contracts.registry.getEnum("retake.test.v1.Resolution")?.values).toHaveLength(3);
    expect(contracts.registry.getExtension("retake.v1.workflow")?.number).toBe(51170);
    const options = contracts.registry.getMessage("google.protobuf.FieldOptions");
    expect(options && contracts.registry.getExtensionFor(options, 51172)?.name).toBe("quality");
    expect(contracts.registry.getService("retake.test.v1.ContractService")).toBe(contract);
    expect([...contracts.registry].length).toBeGreaterThan(200);
  });

  it("writes and reads any of them as JSON", () => {
    const any = anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: [{ field: "a" }] }));
    const { registry } = contracts;
    const json = toJson(AnySchema, any, { registry });
    expect(json).toMatchObject({
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      fieldViolations: [{ field: "a" }],
    });
    expect(fromJson(AnySchema, json, { registry })).toEqual(any);
    const request = {
      "@type": "type.googleapis.com/retake.test.v1.RenderRequest",
      prompt: "hello",
      resolution: "RESOLUTION_LARGE",
    };
    expect(toJson(AnySchema, fromJson(AnySchema, request, { registry }), { registry })).toEqual(request);
  });

  it("has every file once, each after its imports", () => {
    const files = contracts.files();
    const names = files.map(({ proto }) => proto.name);
    expect(new Set(names).size).toBe(names.length);
    for (const [index, file] of files.entries()) {
      for (const { proto } of file.dependencies) expect(names.slice(0, index)).toContain(proto.name);
    }
    expect(contracts.findFile("retake/test/v1/contracts.proto")).toBe(contract.file);
    expect(contracts.findFile("buf/validate/validate.proto")?.proto.name).toBe("buf/validate/validate.proto");
    expect(contracts.findFile("nowhere.proto")).toBeUndefined();
  });
});

describe("createContractRegistry", () => {
  it("serves contracts of several sources that share files", () => {
    const contracts = createContractRegistry({ services: [service("two.Two"), service("one.One")] });
    expect([...contracts.workflows.keys()]).toEqual(["one.One/M", "two.Two/M"]);
    const mixed = createContractRegistry({ services: [service("one.One"), loadedAnew(service("two.Two"))] });
    expect(mixed.registry.getMessage("one.Shared")).toBe(service("one.One").file.messages[0]);
  });

  it("goes on with its own version of a standard file that a contract brings", () => {
    const older = loadedAnew(ContractService);
    const brought = older.file.dependencies.find(({ proto }) => proto.name === "retake/v1/options.proto");
    brought?.proto.messageType[0]?.field.pop();
    const contracts = createContractRegistry({ services: [older] });
    expect(contracts.findFile("retake/v1/options.proto")?.proto.messageType[0]?.field).toHaveLength(
      WorkflowPolicySchema.fields.length,
    );
    expect(contracts.registry.getMessage("retake.v1.WorkflowPolicy")).toBe(WorkflowPolicySchema);
  });

  it("takes a file with source info for the same as one without", () => {
    const bare = loadedAnew(service("pair.B"), (file) => delete file.sourceCodeInfo);
    expect(service("pair.A").file.proto.sourceCodeInfo?.location.length).toBeGreaterThan(0);
    expect(problemsOf(() => createContractRegistry({ services: [service("pair.A"), bare] }))).toEqual([]);
  });

  it("refuses a service that is registered twice", () => {
    expect(problemsOf(() => createContractRegistry({ services: [service("one.One"), service("one.One")] }))).toEqual([
      "one.One: is registered twice. A service has one contract",
    ]);
    const stolen = contractSource(
      "grpc.health.v1",
      `service Health { rpc M(In) returns (In) { ${workflow} } } message In {}`,
    );
    return compileContracts({ "stolen.proto": stolen }).then((set) => {
      const own = set.getService("grpc.health.v1.Health");
      const problems = problemsOf(() => createContractRegistry({ services: own ? [own] : [], ownServices: [Health] }));
      expect(problems).toContain("grpc.health.v1.Health: is registered twice. A service has one contract");
    });
  });

  it("refuses two different files of one name", () => {
    const changed = loadedAnew(service("two.Two"));
    const shared = changed.file.dependencies.find(({ proto }) => proto.name === "one.proto");
    if (shared?.proto.messageType[0]?.field[0]) shared.proto.messageType[0].field[0].name = "b";
    expect(problemsOf(() => createContractRegistry({ services: [service("one.One"), changed] }))).toEqual([
      expect.stringContaining("one.proto: two contracts bring different files of this name"),
    ]);
  });

  it("refuses two different types of one name, and takes equal ones", async () => {
    const set = (field: string, path: string) =>
      compileContracts({
        [`${path}/shared.proto`]: contractSource(
          "shared",
          `message Same { string a = 1; } message Other { ${field} } enum E { E_UNSPECIFIED = 0; }`,
        ),
        [`${path}/service.proto`]: contractSource(
          path,
          `service S { rpc M(shared.Other) returns (shared.Same) { ${workflow} } }`,
        ).replace("import", `import "${path}/shared.proto"; import`),
      });
    const [left, same, right] = await Promise.all([
      set("string a = 1;", "left"),
      set("string a = 1;", "same"),
      set("int32 a = 1;", "right"),
    ]);
    const services = (...names: [typeof left, string][]) =>
      names.flatMap(([registry, name]) => registry.getService(`${name}.S`) ?? []);
    expect(problemsOf(() => createContractRegistry({ services: services([left, "left"], [same, "same"]) }))).toEqual(
      [],
    );
    expect(problemsOf(() => createContractRegistry({ services: services([left, "left"], [right, "right"]) }))).toEqual([
      "shared.Other: is defined in left/shared.proto and, differently, in right/shared.proto. Rename one of them",
    ]);
  });

  it("names every problem, with its method, in one error", () => {
    const overrides = { "retake.test.v1.ContractService/Rendr": create(WorkflowPolicySchema) };
    const twice = () => createContractRegistry({ services: [ContractService, ContractService], overrides });
    expect(twice).toThrow(ContractError);
    expect(twice).toThrow(
      "2 problems in the contracts:\n" +
        "  - retake.test.v1.ContractService: is registered twice. A service has one contract\n" +
        "  - retake.test.v1.ContractService/Rendr: is configured under `workflows`, but no contract has it. " +
        'Did you mean "retake.test.v1.ContractService/Render"?',
    );
  });
});

describe("replace", () => {
  it("puts other contracts in place for everyone who holds the registry", () => {
    const contracts = createContractRegistry({ services: [service("one.One")] });
    const { registry } = contracts;
    expect(registry.getMessage("two.In")).toBeUndefined();
    contracts.replace(contracts.read({ services: [service("two.Two")] }));
    expect(contracts.registry).toBe(registry);
    expect(registry.getMessage("two.In")?.typeName).toBe("two.In");
    expect(registry.get("one.One")?.kind).toBe("service");
    expect([...contracts.services.keys()]).toEqual(["two.Two"]);
    expect([...contracts.workflows.keys()]).toEqual(["two.Two/M"]);
    expect(contracts.revision).toBe(2);
    expect(createRegistry(registry).getMessage("two.In")).toBeDefined();
  });

  it("leaves everything as it was when the new contracts cannot be served", () => {
    const contracts = createContractRegistry({ services: [service("one.One")] });
    expect(() => contracts.replace(contracts.read({ services: [service("two.Two"), service("two.Two")] }))).toThrow(
      ContractError,
    );
    expect([...contracts.workflows.keys()]).toEqual(["one.One/M"]);
    expect(contracts.revision).toBe(1);
  });
});
