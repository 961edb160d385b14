import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Finding } from "../../../src/cli/sources/finding.ts";
import { jsonLines, retake } from "../harness.ts";
import { contract, directoryWith } from "../projects.ts";

/** What lint finds in one contract, which stands in studio.proto. */
async function lint(source: string) {
  const directory = await directoryWith({ "studio.proto": source });
  return { ...(await lintDirectory(directory)), directory, file: join(directory, "studio.proto") };
}

async function lintDirectory(directory: string): Promise<{ exitCode: number; findings: Finding[] }> {
  const { exitCode, stdout } = await retake(["lint", directory, "--json"]);
  return { exitCode, findings: stdout === "" ? [] : (jsonLines(stdout) as unknown as Finding[]) };
}

function linesOf({ fixes }: Finding): string[] {
  return fixes.flatMap(({ lines }) => lines);
}

const streaming = `service StudioService {
  rpc Draw(DrawRequest) returns (stream DrawResponse) {
    option (retake.v1.workflow) = { timeout: { seconds: 30 } };
  }
}
message DrawResponse {
  retake.v1.Progress progress = 1;
  string svg = 2;
}`;

describe("retake lint, with a mistake in the contract", () => {
  it("tells a wrong access condition, at its workflow", async () => {
    const access = "access: { min: ACCESS_LEVEL_PUBLIC condition: \"request.tilte == ''\" }";
    const { exitCode, findings } = await lint(
      contract(
        `${streaming.replace("timeout: { seconds: 30 }", access)}\nmessage DrawRequest {\n  string title = 1;\n}`,
      ),
    );
    expect(exitCode).toBe(2);
    expect(findings).toMatchObject([
      {
        rule: "contract",
        message: expect.stringMatching(/^Draw: access\.condition: .*has no field tilte Did you mean "title"\?$/),
      },
    ]);
  });

  it.each([
    [
      "an import that is missing",
      contract(`${streaming}\nmessage DrawRequest {}`).replace('import "retake/v1/options.proto";\n', ""),
      'import "retake/v1/options.proto";',
    ],
    [
      "a type that belongs to a package",
      contract(`${streaming}\nmessage DrawRequest {}`).replace("retake.v1.Progress", "Progress"),
      "retake.v1.Progress progress = 1;",
    ],
    ["a misspelt type", contract(`${streaming}\nmessage DrawRequest {\n  strng title = 1;\n}`), "string title = 1;"],
    [
      "a misspelt import",
      contract(`${streaming}\nmessage DrawRequest {}`).replace("retake/v1/run.proto", "retake/v1/runs.proto"),
      'import "retake/v1/run.proto";',
    ],
    [
      "a number that is used twice",
      contract(`${streaming}\nmessage DrawRequest {\n  bool a = 1;\n  bool b = 1;\n}`),
      "bool b = 2;",
    ],
    [
      "a number that is used twice on one line",
      contract(`${streaming}\nmessage DrawRequest { bool a = 1; bool b = 1; }`),
      "message DrawRequest { bool a = 1; bool b = 2; }",
    ],
    [
      "a semicolon that is missing",
      contract(`${streaming}\nmessage DrawRequest {\n  bool a = 1\n  bool b = 2;\n}`),
      "bool a = 1;",
    ],
    [
      "a service without a workflow",
      contract("service S {\n  rpc Draw(Empty) returns (Empty);\n}\nmessage Empty {}"),
      "  option (retake.v1.workflow) = {};",
    ],
    ["no service", contract("message Empty {}"), "    option (retake.v1.workflow) = {};"],
    [
      "a stream of which each message could be the result",
      contract(`${streaming}\nmessage DrawRequest {}`).replace("  retake.v1.Progress progress = 1;\n", ""),
      "retake.v1.Progress progress = 3;",
    ],
    [
      "a stream without a result",
      contract(`${streaming}\nmessage DrawRequest {}`).replace("  string svg = 2;\n", ""),
      "DrawResult result = 2;",
    ],
    [
      "several results",
      contract(
        `${streaming}\nmessage DrawRequest {}`.replace(
          /message DrawResponse \{[^}]*\}/,
          "message DrawResponse {\n  oneof u {\n    retake.v1.Progress p = 1;\n    string a = 2;\n    string b = 3;\n  }\n}",
        ),
      ),
      "string a = 2 [(retake.v1.update) = {}];",
    ],
    [
      "a stream of requests",
      contract(`${streaming}\nmessage DrawRequest {}`).replace("(DrawRequest)", "(stream DrawRequest)"),
      "rpc Draw(DrawRequest) returns (stream DrawResponse) {",
    ],
    [
      "a key that is no string",
      contract(`${streaming}\nmessage DrawRequest {\n  int32 id = 1 [(retake.v1.idempotency_key) = true];\n}`),
      "string id = 1 [(retake.v1.idempotency_key) = true];",
    ],
    [
      "a misspelt fallback",
      contract(`${streaming}\nmessage DrawRequest {}`).replace(
        "timeout: {",
        'fallbacks: ["studio.v1.StudioService/Drow"] timeout: {',
      ),
      undefined,
    ],
  ])("%s: names the line, and says what to write", async (_, source, line) => {
    const { exitCode, findings, file } = await lint(source);
    expect(exitCode).toBe(2);
    expect(findings.length).toBeGreaterThan(0);
    expect(findings.every(({ severity }) => severity === "error")).toBe(true);
    expect(findings[0]?.file).toBe(file);
    if (line === undefined) expect(findings[0]?.message).toMatch(/fallbacks\[0\]/);
    else expect(findings.flatMap(linesOf)).toContain(line);
  });

  it("says of a policy what its limits are, at the method", async () => {
    const { findings } = await lint(
      contract(`${streaming}\nmessage DrawRequest {}`).replace(
        "timeout: {",
        "retry: { max_attempts: 1000 } timeout: {",
      ),
    );
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ severity: "error", line: 10, column: 3 });
    expect(findings[0]?.message).toContain("100");
  });

  it("shows the line with the place in it to people", async () => {
    const directory = await directoryWith({ "studio.proto": contract("message A {\n  strng a = 1;\n}") });
    const { stdout, stderr } = await retake(["lint", directory]);
    expect(stdout).toContain(`${join(directory, "studio.proto")}:10:3: error: cannot find`);
    expect(stdout).toContain("  strng a = 1;\n  ^\n");
    expect(stderr).toBe("1 error, 0 warnings\n");
  });
});

const unary = (policy: string, request = "") =>
  contract(`service StudioService {
  rpc Draw(DrawRequest) returns (DrawResponse) {
    option (retake.v1.workflow) = { ${policy} };
  }
}
message DrawRequest {
${request}
}
message DrawResponse {}`);

const key = "  string request_id = 1 [(retake.v1.idempotency_key) = true];";

describe("retake lint, with something that will hurt", () => {
  it("finds nothing in a contract that is well", async () => {
    expect(await lint(unary("timeout: { seconds: 60 }", key))).toMatchObject({ exitCode: 0, findings: [] });
  });

  it("names a unary workflow that may run longer than proxies wait", async () => {
    const { exitCode, findings } = await lint(unary("timeout: { seconds: 61 }", key));
    expect(exitCode).toBe(1);
    expect(findings).toMatchObject([{ rule: "long-unary", severity: "warning", line: 10 }]);
    expect(findings.flatMap(linesOf)).toContain("rpc Draw(DrawRequest) returns (stream DrawResponse) {");
    expect(findings.flatMap(linesOf)).toContain("timeout: { seconds: 60 }");
  });

  it("names a workflow without a key that may run for minutes, with a number that is free", async () => {
    const source = unary("", "  bool a = 7;\n  reserved 9;").replace("(DrawResponse)", "(stream DrawResponse)");
    const { findings } = await lint(
      source.replace("DrawResponse {}", "DrawResponse { retake.v1.Progress p = 1; bool r = 2; }"),
    );
    expect(findings.map(({ rule }) => rule)).toEqual(["long-unkeyed"]);
    expect(findings.flatMap(linesOf)).toContain("string request_id = 10 [(retake.v1.idempotency_key) = true];");
  });

  it("names the fields that a fallback loses, and what they would be there", async () => {
    const { findings } = await lint(
      contract(`service StudioService {
  rpc Draw(DrawRequest) returns (Poster) {
    option (retake.v1.workflow) = { timeout: { seconds: 9 } fallbacks: ["studio.v1.StudioService/Sketch"] };
  }
  rpc Sketch(SketchRequest) returns (Drawing) {
    option (retake.v1.workflow) = { timeout: { seconds: 9 } };
  }
}
message DrawRequest {
  ${key.trim()}
  int32 steps = 2;
  Style style = 3;
  bool same = 4;
}
message Style { double weight = 1; }
message SketchRequest {
  bool same = 2;
}
message Poster { string svg = 1; }
message Drawing { string svg = 1; bytes png = 2; }`),
    );
    expect(findings.map(({ rule, line }) => [rule, line])).toEqual([
      ["lossy-fallback", 10],
      ["lossy-fallback", 10],
    ]);
    expect(findings[0]?.message).toContain('"steps", "style"');
    expect(findings[0] && linesOf(findings[0])).toEqual(["int32 steps = 3;", "Style style = 4;"]);
    expect(findings[1]?.message).toContain('"png"');
    expect(findings[1] && linesOf(findings[1])).toEqual(["bytes png = 2;"]);
  });

  it("refuses a fallback whose fields of the same name hold something else", async () => {
    const { findings } = await lint(
      contract(`service StudioService {
  rpc Draw(DrawRequest) returns (Poster) {
    option (retake.v1.workflow) = { timeout: { seconds: 9 } fallbacks: ["studio.v1.StudioService/Sketch"] };
  }
  rpc Sketch(SketchRequest) returns (Poster) {
    option (retake.v1.workflow) = { timeout: { seconds: 9 } };
  }
}
message DrawRequest { int32 steps = 2; }
message SketchRequest { string steps = 1; }
message Poster { string svg = 1; }`),
    );
    expect(findings).toMatchObject([{ severity: "error", rule: "contract", line: 10 }]);
    expect(findings[0]?.message).toContain(
      'the field "steps" of its request is int32 in studio.v1.DrawRequest, and string',
    );
  });

  it("offers rules that compile, and after which nothing is missing", async () => {
    const fields = [
      key,
      "  string plain = 2;",
      "  string begun = 3 [(buf.validate.field).string = { min_len: 1 }]; // kept",
      "  string pathwise = 4 [(buf.validate.field).string.min_len = 1];",
      "  string other = 5 [deprecated = true];",
      "  bytes data = 6;",
      "  repeated string tags = 7;",
      "  repeated int32 numbers = 8 [(buf.validate.field).repeated.min_items = 1];",
      "  map<string, string> labels = 9;",
      "  Inner inner = 10;",
      "  repeated string items = 11 [(buf.validate.field).repeated = { min_items: 1 }];",
      "  string limited = 12 [(buf.validate.field).string.uuid = true];",
      "  repeated string parts = 13 [(buf.validate.field).repeated.min_items = 1];",
    ];
    const source = `${unary("timeout: { seconds: 9 }", fields.join("\n"))}\nmessage Inner {\n  string deep = 1;\n}`;
    const { findings, file, directory, exitCode } = await lint(source);
    expect(exitCode).toBe(1);
    expect(findings.map(({ rule }) => rule)).toEqual(Array.from({ length: 11 }, () => "missing-rules"));
    const lines = (await readFile(file, "utf8")).split("\n");
    for (const { line, fixes } of findings) {
      expect(fixes).toHaveLength(1);
      expect(fixes[0]?.where).toBe(`in place of line ${line}`);
      lines[line - 1] = fixes[0]?.lines[0] ?? "";
    }
    await writeFile(file, lines.join("\n"));
    expect(await lintDirectory(directory)).toEqual({ exitCode: 0, findings: [] });
    expect(lines.join("\n")).toContain("min_len: 1 }]; // kept");
  });

  it("offers the rules of retake/v1/rules.proto by the names of fields, and knows that those limit", async () => {
    const fields = [
      key,
      "  string prompt = 2;",
      "  string photo_url = 3 [(buf.validate.field).string.min_len = 1];",
      "  repeated string captions = 4;",
      "  string file_name = 5 [(buf.validate.field).string = { min_len: 1 }];",
      "  string mime_type = 6;",
      "  string output_path = 7;",
      "  string allowed = 8 [(buf.validate.field).string.(retake.v1.public_url) = true];",
      '  string picture_type = 9 [(buf.validate.field).string.(retake.v1.media_type_in) = { types: ["image/*"] }];',
    ];
    const withImport = (text: string): string =>
      text.replace('import "retake/v1/options.proto";', '$&\nimport "retake/v1/rules.proto";');
    const { findings, file, directory } = await lint(withImport(unary("timeout: { seconds: 9 }", fields.join("\n"))));
    expect(findings.map(({ fixes }) => fixes[0]?.lines[0])).toEqual([
      "string prompt = 2 [(buf.validate.field).string = { max_len: 1000, [retake.v1.safe_text]: true }];",
      "string photo_url = 3 [(buf.validate.field).string.min_len = 1, (buf.validate.field).string.max_len = 1000, (buf.validate.field).string.(retake.v1.public_url) = true];",
      "repeated string captions = 4 [(buf.validate.field).repeated = { max_items: 100, items: { string: { max_len: 1000, [retake.v1.safe_text]: true } } }];",
      "string file_name = 5 [(buf.validate.field).string = { max_len: 1000, [retake.v1.safe_file_name]: true, min_len: 1 }];",
      "string mime_type = 6 [(buf.validate.field).string = { max_len: 1000, [retake.v1.media_type]: true }];",
      "string output_path = 7 [(buf.validate.field).string = { max_len: 1000, [retake.v1.safe_path]: true }];",
    ]);
    const lines = (await readFile(file, "utf8")).split("\n");
    for (const { line, fixes } of findings) lines[line - 1] = fixes[0]?.lines[0] ?? "";
    await writeFile(file, lines.join("\n"));
    expect(await lintDirectory(directory)).toEqual({ exitCode: 0, findings: [] });
  });

  it("says what to import for a rule by name", async () => {
    const { findings } = await lint(unary("timeout: { seconds: 9 }", `${key}\n  string title = 2;`));
    expect(findings.flatMap(linesOf)).toContain('import "retake/v1/rules.proto";');
  });

  it("says what to import for a rule", async () => {
    const source = unary("timeout: { seconds: 9 }", `${key}\n  string a = 2;`);
    const { findings } = await lint(source.replace('import "buf/validate/validate.proto";\n', ""));
    expect(findings.flatMap(linesOf)).toContain('import "buf/validate/validate.proto";');
  });

  it("counts what a retake.yaml beside the contracts says, and tells what is wrong with that", async () => {
    const { directory } = await lint(unary("", key));
    const config = (text: string) => writeFile(join(directory, "retake.yaml"), text);
    await config("workflows: { studio.v1.StudioService/Draw: { timeout: 10s } }");
    expect(await lintDirectory(directory)).toEqual({ exitCode: 0, findings: [] });
    await config("workflow: {}");
    const { exitCode, findings } = await lintDirectory(directory);
    expect(exitCode).toBe(2);
    expect(findings).toMatchObject([{ rule: "config", file: join(directory, "retake.yaml"), line: 1 }]);
  });

  it("leaves workflows to the server that it takes from elsewhere, and checks those that are here", async () => {
    const { directory } = await lint(unary("timeout: { seconds: 9 }", key));
    const config = (text: string) => writeFile(join(directory, "retake.yaml"), text);
    for (const elsewhere of ["contracts: [theirs.binpb]", "backends: [{ endpoints: [{ target: 'dns:///gpu:1' }] }]"]) {
      await config(`${elsewhere}\nworkflows: { their.v1.Service/Work: {} }`);
      expect(await lintDirectory(directory)).toEqual({ exitCode: 0, findings: [] });
      await config(`${elsewhere}\nworkflows: { studio.v1.StudioService/Drew: {} }`);
      expect((await lintDirectory(directory)).exitCode).toBe(2);
    }
    await config("workflows: { their.v1.Service/Work: {} }");
    expect((await lintDirectory(directory)).exitCode).toBe(2);
  });

  it("is silenced by a comment, for the rule that it names only", async () => {
    const source = unary("", "  // retake:ignore missing-rules\n  string a = 2;");
    const { findings } = await lint(source.replace("  rpc Draw", "  // retake:ignore long-unary\n  rpc Draw"));
    expect(findings.map(({ rule }) => rule)).toEqual(["long-unkeyed"]);
  });
});

describe("retake lint, with something else than contracts", () => {
  it.each([
    ["nowhere", [], "there is no nowhere here"],
    ["package.json", [], "is no descriptor set"],
    ["examples/video/proto/storycore/video/v1/video_service.proto", [], "name the directory"],
  ])("refuses %s", async (path, flags, message) => {
    const { exitCode, stderr } = await retake(["lint", path, ...flags]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });

  it("refuses a directory without contracts", async () => {
    const { exitCode, stderr } = await retake(["lint", await directoryWith({ "a.txt": "" })]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("no .proto file");
    expect(stderr).toContain("retake init DIR");
  });

  it("says how to get a compiler", async () => {
    const { findBuf } = await import("../../../src/cli/sources/compile.ts");
    const { createIo } = await import("../harness.ts");
    // The repository has one: what counts without it is asked of the search itself.
    const { findTool } = await import("../../../src/cli/sources/tools.ts");
    expect(await findTool({ name: "buf", packageName: "@no/such" }, "/", "/nowhere")).toBeUndefined();
    expect((await findBuf("/", createIo().io))[1]).toContain("@bufbuild/buf");
  });
});
