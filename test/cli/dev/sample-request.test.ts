import { toJson } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { beforeAll, describe, expect, it } from "vitest";
import { callLines } from "../../../src/cli/dev/call-lines.ts";
import { handlerLines } from "../../../src/cli/dev/handler-lines.ts";
import { sampleRequest } from "../../../src/cli/dev/sample-request.ts";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { compileContracts, contractSource } from "../../contract/compile-contracts.ts";

const rule = (type: string, text: string) => `[(buf.validate.field).${type} = { ${text} }]`;

let registry: Awaited<ReturnType<typeof compileContracts>>;

beforeAll(async () => {
  registry = await compileContracts({
    "studio/v1/studio.proto": contractSource(
      "studio.v1",
      `
service StudioService {
  rpc Draw(Request) returns (stream Response) { option (retake.v1.workflow) = {}; }
  rpc Count(Request) returns (Counted) { option (retake.v1.workflow) = {}; }
}
message Request {
  string request_id = 1 [(retake.v1.idempotency_key) = true];
  string title = 2 ${rule("string", "min_len: 12, max_len: 14")};
  string short = 3 ${rule("string", "max_len: 2")};
  string email = 4 ${rule("string", "email: true")};
  string choice = 5 ${rule("string", 'in: ["it\'s", "b"]')};
  int32 steps = 6 ${rule("int32", "gte: 7, lte: 9")};
  int64 long = 7 ${rule("int64", "gt: 7")};
  double ratio = 8 ${rule("double", "gt: 0, lt: 1")};
  Color color = 9 ${rule("enum", "defined_only: true, not_in: [0, 1]")};
  repeated string tags = 10 ${rule("repeated", "min_items: 2, unique: true")};
  map<string, int32> sizes = 11 ${rule("map", "min_pairs: 1")};
  Inner inner = 12 [(buf.validate.field).required = true];
  optional string maybe = 13;
  oneof source {
    option (buf.validate.oneof).required = true;
    string url = 14 ${rule("string", "uri: true")};
    bytes image = 15;
  }
  int32 free = 16;
}
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_BLUE = 2; }
message Inner { string name = 1 ${rule("string", "min_len: 1")}; Inner next = 2; }
message Patterned { string code = 1 ${rule("string", 'pattern: "^[0-9]{4}$"')}; }
message Response { oneof update { retake.v1.Progress progress = 1; Poster poster = 2; } }
message Poster { string svg = 1; int64 size = 2; }
message Counted { int32 count = 1; repeated string words = 2; bool done = 3; }`,
    ),
  });
});

const message = (name: string) => {
  const found = registry.getMessage(`studio.v1.${name}`);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};

const contracts = () => {
  const service = registry.getService("studio.v1.StudioService");
  if (service === undefined) throw new Error("no service");
  return createContractRegistry({ services: [service] });
};

describe("sampleRequest", () => {
  it("keeps every rule of a contract, without a key", () => {
    const { message: sample, problems } = sampleRequest(message("Request"), createValidator());
    expect(problems).toEqual([]);
    expect(toJson(message("Request"), sample)).toEqual({
      title: "a titleaaaaa",
      short: "a ",
      email: "someone@example.com",
      choice: "it's",
      steps: 7,
      long: "8",
      ratio: 0.5,
      color: "COLOR_BLUE",
      tags: ["a tags", "a tags 2"],
      sizes: { "a key 1": 1 },
      inner: { name: "a name" },
      url: "https://example.com/",
    });
  });

  it("says what it cannot make up", () => {
    expect(sampleRequest(message("Patterned"), createValidator()).problems).toEqual([expect.stringContaining("code")]);
  });
});

describe("callLines", () => {
  const place = {
    grpc: { host: "0.0.0.0", port: 50051, tls: false },
    web: { host: "::1", port: 8080, tls: true },
  };
  const linesOf = (name: string) => {
    const workflow = contracts().workflows.get(`studio.v1.StudioService/${name}`);
    if (workflow === undefined) throw new Error(`no ${name}`);
    return callLines(workflow, contracts(), place);
  };

  it("reaches a server that listens everywhere, and is quoted for a shell", () => {
    expect(linesOf("Count").grpcurl).toMatch(
      /^grpcurl -plaintext -d '\{.*"choice":"it'\\''s".*\}' 127\.0\.0\.1:50051 studio\.v1\.StudioService\/Count$/,
    );
  });

  it("calls a unary workflow itself, and starts a streaming one as a run", () => {
    expect(linesOf("Count").curl).toMatch(
      /^curl --insecure --json '.*' https:\/\/\[::1\]:8080\/studio\.v1\.StudioService\/Count$/,
    );
    expect(linesOf("Draw").curl).toMatch(
      /"workflow":"studio\.v1\.StudioService\/Draw".*\/retake\.v1\.RunService\/StartRun$/,
    );
  });
});

describe("handlerLines", () => {
  const method = (name: string) => {
    const found = contracts().workflows.get(`studio.v1.StudioService/${name}`)?.method;
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };

  it("answers a unary workflow", () => {
    expect(handlerLines(method("Count"))).toEqual([
      "async count(request, context) {",
      "  return { count: 0, words: [], done: false };",
      "},",
    ]);
  });

  it("streams progress, then the result", () => {
    expect(handlerLines(method("Draw"))).toEqual([
      "async *draw(request, context) {",
      '  yield { update: { case: "progress", value: { stage: "working", fraction: 0 } } };',
      '  yield { update: { case: "poster", value: { svg: "", size: 0n } } };',
      "},",
    ]);
  });
});
