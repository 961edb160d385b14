import { create, createFileRegistry, createRegistry, type DescMessage } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  StructSchema,
} from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { BackendConfigSchema, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { StartRunRequestSchema } from "../../gen/retake/v1/run_service_pb.js";
import { jsonProblems } from "../../src/config/index.ts";

function problems(json: unknown, schema: DescMessage = ServerConfigSchema): string[] {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  return jsonProblems(schema, text).map(({ field, message }) => `${field}: ${message}`);
}

describe("jsonProblems", () => {
  it("finds none in what can be read", () => {
    expect(problems({})).toEqual([]);
    expect(problems({ data_directory: "here", drainTimeout: "3s", web: null })).toEqual([]);
    expect(problems({ workflows: { "a.B/C": { timeout: "1s" } }, backends: [{ service: "a.B" }] })).toEqual([]);
  });

  it.each([
    [{ dataDirectory: 7 }, "data_directory: must be text (in quotes where it looks like something else), not 7"],
    [
      { dataDirectory: ["x"] },
      "data_directory: must be text (in quotes where it looks like something else), not a list",
    ],
    [{ grpc: { port: "high" } }, 'grpc.port: must be a whole number, not "high"'],
    [{ grpc: { port: 1.5 } }, "grpc.port: must be a whole number, not 1.5"],
    [{ grpc: [] }, "grpc: must be an object, not a list"],
    [{ backends: {} }, "backends: must be a list, not an object"],
    [
      { backends: [{ service: "a" }, { service: 5 }] },
      "backends[1].service: must be text (in quotes where it looks like something else), not 5",
    ],
    [
      { web: { allowedOrigins: ["a", null] } },
      "web.allowed_origins[1]: must be text (in quotes where it looks like something else), not null",
    ],
    [{ workflows: [] }, "workflows: must be an object, not a list"],
    [
      { workflows: { "a.B/C": { timeout: 3 } } },
      'workflows["a.B/C"].timeout: must be a duration in seconds with its unit, like "30s" or "0.5s", not 3',
    ],
    [{ drainTimeot: "3s" }, ': unknown key "drainTimeot". Did you mean "drainTimeout"?'],
    [[], ": must be an object, not a list"],
    ["null", ": must be an object, not null"],
  ])("names the path of what is wrong in %j", (json, problem) => {
    expect(problems(json)).toEqual([problem]);
  });

  it("names everything that is wrong, up to fifty problems", () => {
    expect(problems({ dataDirectory: 1, grpc: { port: "x", reflection: "y" } })).toHaveLength(3);
    expect(problems({ backends: Array.from({ length: 1000 }, () => 1) })).toHaveLength(50);
    expect(problems(Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`key${index}`, 1])))).toHaveLength(
      50,
    );
  });

  it("says where a text stops being JSON", () => {
    expect(problems('{"dataDirectory": "x",}')).toEqual([expect.stringMatching(/^: is no JSON: .*line 1 column 23/)]);
    expect(problems("")).toEqual([expect.stringMatching(/^: is no JSON: /)]);
  });

  it("does not repeat a long text", () => {
    for (const json of [{ ["k".repeat(10_000)]: 1 }, { grpc: { port: "x".repeat(10_000) } }]) {
      expect(problems(json)[0]?.length).toBeLessThan(500);
    }
  });

  it("reads an Any by the registry", () => {
    const any = { "@type": "type.googleapis.com/google.protobuf.Struct", value: {} };
    const text = JSON.stringify({ message: any, workflow: 7 });
    expect(jsonProblems(StartRunRequestSchema, text, createRegistry(StructSchema))).toEqual([
      { field: "workflow", message: expect.any(String) },
    ]);
    expect(jsonProblems(StartRunRequestSchema, text)).toHaveLength(2);
  });

  it("takes no time worth mentioning for nonsense, which it looks at only so far", () => {
    const hostile = ["}", "[", '{"a":', '"a" ', "{\n", '{"backends":[', '{"service":{"service":'];
    for (const piece of hostile) {
      expect(problems(piece.repeat(Math.floor(60_000 / piece.length)), BackendConfigSchema)).toHaveLength(1);
      expect(problems(piece.repeat(70_000 / piece.length + 1))).toEqual([]);
    }
  });

  it("goes only so deep", () => {
    const file = create(FileDescriptorProtoSchema, {
      name: "tree.proto",
      syntax: "proto3",
      messageType: [
        {
          name: "Tree",
          field: [
            {
              name: "child",
              number: 1,
              label: FieldDescriptorProto_Label.OPTIONAL,
              type: FieldDescriptorProto_Type.MESSAGE,
              typeName: ".Tree",
            },
          ],
        },
      ],
    });
    const tree = createFileRegistry(file, () => undefined).getMessage("Tree");
    if (tree === undefined) throw new Error("there is no Tree");
    expect(problems(`${'{"child":'.repeat(6000)}7${"}".repeat(6000)}`, tree)).toEqual([
      ": is nested more than 100 levels deep",
    ]);
    expect(problems({ child: { child: { child: 7 } } }, tree)).toEqual(["child.child.child: must be an object, not 7"]);
  });
});
