import { create, type FileRegistry, toBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { beforeAll, describe, expect, it } from "vitest";
import { file_retake_v1_run } from "../../gen/retake/v1/run_pb.js";
import { ContractError, type ContractProblem } from "../../src/contract/contract-error.ts";
import { loadDescriptors, parseDescriptorSet } from "../../src/contract/descriptor-files.ts";
import { offeredServices, workflowLines } from "../../src/contract/offered-services.ts";
import { compileContracts, contractSource } from "./compile-contracts.ts";

let compiled: FileRegistry;
let other: FileRegistry;

beforeAll(async () => {
  const shared = (type: string) => `syntax = "proto3"; package shared; message Shared { ${type} text = 1; }`;
  const film = contractSource(
    "film",
    `import "shared.proto";
     service S { rpc M(shared.Shared) returns (Out) { option (retake.v1.workflow) = {}; } }
     service T { rpc M(shared.Shared) returns (Out); rpc N(stream shared.Shared) returns (Out); }
     message Out { retake.v1.Progress progress = 1; string some_text = 2; }`,
  );
  compiled = await compileContracts({ "film.proto": film, "shared.proto": shared("string") });
  other = await compileContracts({ "film.proto": film, "shared.proto": shared("bytes") });
}, 60_000);

function protos(registry: FileRegistry, ...names: readonly string[]): FileDescriptorProto[] {
  const files = [...registry.files].map(({ proto }) => proto);
  return names.length === 0 ? files : files.filter(({ name }) => names.includes(name));
}

function load(...sources: readonly (readonly FileDescriptorProto[])[]) {
  const problems: ContractProblem[] = [];
  const files = loadDescriptors(
    sources.map((given, index) => ({ name: `set ${index + 1}`, files: given })),
    problems,
  );
  return { files, problems };
}

const setOf = (file: readonly FileDescriptorProto[]) =>
  toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...file] }));

describe("parseDescriptorSet", () => {
  it("reads what compilers write", () => {
    const { files, name } = parseDescriptorSet(setOf(protos(compiled)), "film.binpb");
    expect(name).toBe("film.binpb");
    expect(files.map((file) => file.name)).toContain("film.proto");
  });

  it.each([
    ["nothing", new Uint8Array(), "film.binpb: is empty. Make one with `buf build -o contracts.binpb`"],
    ["text", Buffer.from('syntax = "proto3";'), "film.binpb: is no descriptor set."],
    ["JSON", Buffer.from('{"file":[]}'), "film.binpb: is no descriptor set."],
    ["another message", Buffer.from([0x78, 1]), "film.binpb: holds no files"],
    ["files without a name", Buffer.from([0x0a, 0]), "film.binpb: holds no files"],
  ])("refuses %s, and says how to make one", (_, bytes, message) => {
    expect(() => parseDescriptorSet(bytes, "film.binpb")).toThrow(ContractError);
    expect(() => parseDescriptorSet(bytes, "film.binpb")).toThrow(message);
  });
});

describe("loadDescriptors", () => {
  it("loads files in any order, whatever set they are in, with the server's own standard files", () => {
    const { files, problems } = load(protos(compiled, "film.proto"), protos(compiled).reverse());
    expect(problems).toEqual([]);
    expect([...files.keys()].sort()).toEqual(["film.proto", "shared.proto"]);
    const progress = files.get("film.proto")?.messages[0]?.fields[0]?.message;
    expect(progress?.file).toBe(file_retake_v1_run);
  });

  it("does without the standard files in the set", () => {
    expect(load(protos(compiled, "film.proto", "shared.proto")).problems).toEqual([]);
  });

  it("names the imports that are missing, and how to include them", () => {
    const { files, problems } = load(protos(compiled, "film.proto"));
    expect(files.size).toBe(0);
    expect(problems).toEqual([
      {
        where: "set 1",
        message: expect.stringMatching(/^film\.proto imports "shared\.proto", which is not in it\..*buf/),
      },
    ]);
  });

  it("refuses two files of one name that differ, and takes those that differ in form only", () => {
    expect(load(protos(compiled), protos(other)).problems).toEqual([
      { where: "set 1", message: expect.stringMatching(/^and set 2 bring different files shared\.proto/) },
    ]);
    // As Python's reflection tells them: without the JSON names that go without saying.
    const plain = parseDescriptorSet(setOf(protos(compiled)), "").files;
    for (const { messageType } of plain)
      for (const { field } of messageType) for (const each of field) each.jsonName = "";
    expect(load(protos(compiled), plain).problems).toEqual([]);
  });

  it("tells files that make no sense", () => {
    const [film] = parseDescriptorSet(setOf(protos(compiled, "film.proto")), "").files;
    if (film?.messageType[0]?.field[0] === undefined) throw new Error("there is no field");
    film.messageType[0].field[0].typeName = ".nowhere.Nothing";
    const { problems } = load([film, ...protos(compiled, "shared.proto")]);
    expect(problems).toEqual([{ where: "set 1", message: expect.stringMatching(/^film\.proto cannot be read: /) }]);
  });

  it("ends for files that import each other", () => {
    const a = {
      ...protos(compiled, "shared.proto")[0],
      name: "a.proto",
      dependency: ["b.proto"],
    } as FileDescriptorProto;
    const b = { ...a, name: "b.proto", dependency: ["a.proto"] };
    expect(load([a, b]).files.size).toBe(0);
  });
});

describe("offeredServices", () => {
  const names = (overrides: Record<string, unknown>) => {
    const { withWorkflows, others } = offeredServices(load(protos(compiled)).files.values(), overrides);
    return [withWorkflows, others].map((services) => services.map(({ typeName }) => typeName));
  };

  it("finds those with a workflow, by the option or by name", () => {
    expect(names({})).toEqual([["film.S"], ["film.T"]]);
    expect(names({ "film.T/M": {} })).toEqual([["film.S", "film.T"], []]);
    expect(names({ "film.T/X": {} })).toEqual([["film.S"], ["film.T"]]);
  });

  it("tells the lines that make workflows, of methods that can be ones", () => {
    const { others } = offeredServices(load(protos(compiled)).files.values(), {});
    expect(workflowLines(others)).toBe("  workflows:\n    film.T/M: {}");
    expect(workflowLines([])).toBe("");
  });
});
