import {
  create,
  createFileRegistry,
  type DescFile,
  fromBinary,
  getOption,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { workflow } from "../../gen/retake/v1/options_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createContractRegistry } from "../../src/contract/index.ts";
import { createReflection } from "../../src/server/reflection.ts";
import { loadedAnew } from "../contract/compile-contracts.ts";
import { ContractService } from "../gen/retake/test/v1/contracts_pb.js";
import { importsFirst } from "./imports-first.ts";

const contracts = createContractRegistry({ services: [ContractService], ownServices: [RunService, Health] });
const reflection = createReflection(contracts);
const transport = createRouterTransport((router) => {
  router.service(ServerReflection, reflection.v1);
  router.service(ServerReflectionAlpha, reflection.v1alpha);
});

type Asked = MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"];

async function ask(...asked: Asked[]): Promise<ServerReflectionResponse[]> {
  async function* requests() {
    for (const messageRequest of asked) yield { host: "here", messageRequest: messageRequest ?? { case: undefined } };
  }
  return collect(createClient(ServerReflection, transport).serverReflectionInfo(requests()));
}

const symbol = (value: string): Asked => ({ case: "fileContainingSymbol", value });
const fileName = (value: string): Asked => ({ case: "fileByFilename", value });

/** The names of the files in an answer, or its error. */
function filesIn({ messageResponse }: ServerReflectionResponse): string[] | string {
  if (messageResponse.case === "errorResponse") {
    return `${Code[messageResponse.value.errorCode]}: ${messageResponse.value.errorMessage}`;
  }
  if (messageResponse.case !== "fileDescriptorResponse") throw new Error(`unexpected ${messageResponse.case}`);
  return messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

describe("reflection", () => {
  it("lists the contracts and the server's own services, by both versions", async () => {
    const names = ["grpc.health.v1.Health", "retake.test.v1.ContractService", "retake.v1.RunService"];
    const [answer] = await ask({ case: "listServices", value: "" });
    expect(answer?.messageResponse.value).toMatchObject({ service: names.map((name) => ({ name })) });
    expect(answer).toMatchObject({ validHost: "here", originalRequest: { messageRequest: { case: "listServices" } } });
    async function* requests() {
      yield { host: "old", messageRequest: { case: "listServices" as const, value: "*" } };
    }
    const [alpha] = await collect(createClient(ServerReflectionAlpha, transport).serverReflectionInfo(requests()));
    expect(alpha?.messageResponse.value).toMatchObject({ service: names.map((name) => ({ name })) });
    expect(alpha?.originalRequest?.$typeName).toBe("grpc.reflection.v1alpha.ServerReflectionRequest");
  });

  it("sends a file with all that it imports, so that a client can build the contract with its options", async () => {
    const [answer] = await ask(symbol("retake.test.v1.ContractService"));
    if (answer?.messageResponse.case !== "fileDescriptorResponse") throw new Error("no files");
    const sent = answer.messageResponse.value.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    expect(sent[0]?.name).toBe("retake/test/v1/contracts.proto");
    const names = new Set(sent.map(({ name }) => name));
    for (const { dependency } of sent) for (const name of dependency) expect(names).toContain(name);
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(sent) }));
    const [render] = registry.getService("retake.test.v1.ContractService")?.methods ?? [];
    expect(render && getOption(render, workflow).retry?.maxAttempts).toBe(4);
    expect(sent.every(({ sourceCodeInfo }) => sourceCodeInfo === undefined)).toBe(true);
  });

  it.each([
    ["a message", "retake.test.v1.Shot"],
    ["an enum", "retake.test.v1.Resolution"],
    ["an enum value", "retake.test.v1.RESOLUTION_LARGE"],
    ["a service", "retake.test.v1.ContractService"],
    ["a method", "retake.test.v1.ContractService.Render"],
    ["a field", "retake.test.v1.RenderRequest.prompt"],
    ["a oneof", "retake.test.v1.RenderResponse.update"],
  ])("finds the file of %s", async (_, name) => {
    const [answer] = await ask(symbol(name));
    expect(answer && filesIn(answer)[0]).toBe("retake/test/v1/contracts.proto");
  });

  it.each([
    ["an extension", "retake.v1.workflow", "retake/v1/options.proto"],
    ["a nested enum value", "grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"],
    ["a nested message", "google.rpc.BadRequest.FieldViolation", "google/rpc/error_details.proto"],
    ["a standard message", "google.protobuf.Any", "google/protobuf/any.proto"],
  ])("finds the file of %s", async (_, name, file) => {
    const [answer] = await ask(symbol(name));
    expect(answer && filesIn(answer)[0]).toBe(file);
  });

  it.each([
    "retake/v1/options.proto",
    "buf/validate/validate.proto",
    "google/protobuf/descriptor.proto",
    "google/rpc/status.proto",
  ])("sends %s when asked for it by name", async (name) => {
    const [answer] = await ask(fileName(name));
    expect(answer && filesIn(answer)[0]).toBe(name);
  });

  it("sends each import once in a stream, and what is asked for every time", async () => {
    const answers = await ask(
      fileName("retake/test/v1/contracts.proto"),
      fileName("retake/v1/run.proto"),
      fileName("retake/test/v1/contracts.proto"),
    );
    expect(answers.map((answer) => filesIn(answer).length)).toEqual([9, 1, 1]);
    const [first] = await ask(fileName("retake/v1/run.proto"));
    expect(first && filesIn(first).length).toBeGreaterThan(1);
  });

  it("finds extensions by what they extend, and their numbers", async () => {
    const extension = (containingType: string, extensionNumber: number): Asked => ({
      case: "fileContainingExtension",
      value: { containingType, extensionNumber },
    });
    const numbers = (value: string): Asked => ({ case: "allExtensionNumbersOfType", value });
    const [file, unknown, ofMethods, ofFields, ofNone, ofNobody] = await ask(
      extension("google.protobuf.MethodOptions", 51170),
      extension("google.protobuf.MethodOptions", 51171),
      numbers("google.protobuf.MethodOptions"),
      numbers("google.protobuf.FieldOptions"),
      numbers("retake.v1.Run"),
      numbers("nobody.Knows"),
    );
    expect(file && filesIn(file)[0]).toBe("retake/v1/options.proto");
    expect(unknown && filesIn(unknown)).toBe(
      'NotFound: this server has no extension 51171 of "google.protobuf.MethodOptions"',
    );
    expect(ofMethods?.messageResponse.value).toMatchObject({
      baseTypeName: "google.protobuf.MethodOptions",
      extensionNumber: [51170, 51174],
    });
    expect(ofFields?.messageResponse.value).toMatchObject({ extensionNumber: [1159, 1160, 51171, 51172, 51173] });
    expect(ofNone?.messageResponse.value).toMatchObject({ baseTypeName: "retake.v1.Run", extensionNumber: [] });
    expect(ofNobody && filesIn(ofNobody)).toBe('NotFound: this server has no message "nobody.Knows"');
  });

  it("answers what it cannot give by an error, and goes on", async () => {
    const answers = await ask(
      symbol("nobody.Knows"),
      symbol(""),
      fileName("../etc/passwd"),
      undefined,
      symbol("retake.v1.Run"),
    );
    expect(answers.slice(0, 4).map(filesIn)).toEqual([
      'NotFound: this server has no symbol "nobody.Knows"',
      'NotFound: this server has no symbol ""',
      'NotFound: this server has no file "../etc/passwd"',
      "InvalidArgument: a reflection request asks for one thing, and this one for nothing",
    ]);
    expect(answers[4] && filesIn(answers[4])[0]).toBe("retake/v1/run.proto");
  });

  it("answers from the contracts that were put in place meanwhile, in an open stream", async () => {
    const live = createContractRegistry({ services: [ContractService] });
    const { v1 } = createReflection(live);
    const changed = loadedAnew(ContractService, (file) => {
      const added = file.messageType.at(-1);
      if (added) added.name = "Newcomer";
      for (const { method } of file.service) {
        for (const rpc of method)
          if (rpc.outputType.endsWith(".BareResponse")) rpc.outputType = ".retake.test.v1.Newcomer";
      }
    });
    async function* requests() {
      yield { host: "", messageRequest: symbol("retake.test.v1.Newcomer") } as never;
      yield { host: "", messageRequest: fileName("retake/v1/run.proto") } as never;
      live.replace(live.read({ services: [changed] }));
      yield { host: "", messageRequest: symbol("retake.test.v1.Newcomer") } as never;
      yield { host: "", messageRequest: symbol("retake.test.v1.BareResponse") } as never;
    }
    const answers = (await collect(
      v1.serverReflectionInfo(requests(), undefined as never),
    )) as ServerReflectionResponse[];
    const found = answers.map(filesIn);
    expect(found[0]).toMatch(/^NotFound/);
    // What was sent before the replacement belongs to the old contracts, and is sent again.
    expect(found[2]).toEqual(expect.arrayContaining(["retake/test/v1/contracts.proto", "retake/v1/run.proto"]));
    expect(found[3]).toMatch(/^NotFound/);
  });

  it("shows one file of a name when a contract brings its own copy of a standard one", async () => {
    const live = createContractRegistry({ services: [loadedAnew(ContractService)] });
    const { v1 } = createReflection(live);
    async function* requests() {
      yield { host: "", messageRequest: fileName("retake/test/v1/contracts.proto") } as never;
    }
    const [answer] = (await collect(
      v1.serverReflectionInfo(requests(), undefined as never),
    )) as ServerReflectionResponse[];
    const names = answer ? filesIn(answer) : "";
    expect(new Set(names).size).toBe(names.length);
    const standard = (name: string): DescFile | undefined => live.findFile(name);
    expect(standard("retake/v1/run.proto")).toBe(contracts.findFile("retake/v1/run.proto"));
  });
});
