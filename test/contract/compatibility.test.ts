import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { incompatibilities } from "../../src/contract/compatibility.ts";
import { contractSet } from "../../src/contract/contract-set.ts";
import { readWorkflows } from "../../src/contract/read-workflows.ts";
import type { Workflow } from "../../src/contract/workflow.ts";
import { compileContracts, contractSource } from "./compile-contracts.ts";

const messages = `
  message In {
    string prompt = 1;
    int32 steps = 2;
    Size size = 3;
    Part part = 4;
    repeated Part parts = 5;
    map<string, Part> named = 6;
    oneof source { string url = 7; bytes data = 8; }
    string left = 9;
    string right = 10;
  }
  message Part { string text = 1; Part more = 2; int64 weight = 3; In whole = 4; }
  enum Size { SIZE_UNSPECIFIED = 0; SIZE_SMALL = 1; SIZE_LARGE = 2; }
  message Out { oneof update { retake.v1.Progress progress = 1; Film film = 2; } string trace = 3; Size size = 4; }
  message Film { bytes data = 1; Out making = 2; }`;

const service = "service S { rpc M(In) returns (stream Out) { option (retake.v1.workflow) = {}; } }";

type Change = readonly [from: string, to: string];

/** Each is compiled as a version of the contract, replaced in the file that holds service and messages. */
const versions: Record<string, readonly Change[]> = {
  before: [],
  // Compatible.
  addition: [["string prompt = 1;", "string prompt = 1; string mood = 11;"]],
  value_added: [["SIZE_LARGE = 2;", "SIZE_LARGE = 2; SIZE_HUGE = 3;"]],
  field_renamed: [["string prompt = 1;", "string text = 1;"]],
  field_optional: [["string prompt = 1;", "optional string prompt = 1;"]],
  oneof_renamed: [["oneof source", "oneof origin"]],
  oneof_joined_by_a_newcomer: [["bytes data = 8;", "bytes data = 8; string path = 11;"]],
  oneof_left: [["oneof source { string url = 7; bytes data = 8; }", "string url = 7; bytes data = 8;"]],
  response_lost_a_field: [["string trace = 3;", ""]],
  policy_changed: [["(retake.v1.workflow) = {}", "(retake.v1.workflow) = { timeout: { seconds: 5 } }"]],
  // Not compatible.
  method_gone: [["rpc M", "rpc N"]],
  service_gone: [["service S", "service T"]],
  kind_changed: [["returns (stream Out)", "returns (Out)"]],
  types_changed: [
    ["rpc M(In) returns (stream Out)", "rpc M(Other) returns (stream Another)"],
    [
      "message Film",
      "message Other {} message Another { retake.v1.Progress progress = 1; Film film = 2; } message Film",
    ],
  ],
  field_gone: [["int32 steps = 2;", "reserved 2;"]],
  field_renumbered: [["int32 steps = 2;", "int32 steps = 12;"]],
  scalar_changed: [["int32 steps = 2;", "int64 steps = 2;"]],
  message_changed: [["Part part = 4;", "Film part = 4;"]],
  repeated_now: [["string prompt = 1;", "repeated string prompt = 1;"]],
  single_now: [["repeated Part parts = 5;", "Part parts = 5;"]],
  map_changed: [["map<string, Part> named = 6;", "map<int32, Part> named = 6;"]],
  map_values_changed: [["map<string, Part> named = 6;", "map<string, bytes> named = 6;"]],
  enum_to_number: [["Size size = 3;", "int32 size = 3;"]],
  value_gone: [["SIZE_LARGE = 2;", ""]],
  rivals_now: [["string left = 9;\n    string right = 10;", "oneof side { string left = 9; string right = 10; }"]],
  rivals_of_a_oneof: [
    [
      "oneof source { string url = 7; bytes data = 8; }\n    string left = 9;",
      "oneof source { string url = 7; bytes data = 8; string left = 9; }",
    ],
  ],
  nested_gone: [["int64 weight = 3;", ""]],
  response_changed: [["Film film = 2;", "string film = 2;"]],
  response_nested_changed: [["message Film { bytes data = 1;", "message Film { int32 data = 1;"]],
};

const source = (changes: readonly Change[]): string =>
  changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`nothing to change: ${from}`);
    return text.replace(from, to);
  }, `${service}\n${messages}`);

/** All versions are compiled at once, each as a package of its own. */
const packageOf = (version: string): string => `changing${10 + Object.keys(versions).indexOf(version)}`;

const compiled = await compileContracts(
  Object.fromEntries(
    Object.entries(versions).map(([version, changes]) => [
      `${packageOf(version)}.proto`,
      contractSource(packageOf(version), source(changes)),
    ]),
  ),
);

/** The version in the package "changing00": names of one length can be replaced in the serialised form. */
function set(version: string): Uint8Array {
  const file = [...compiled.files].find(({ name }) => name === packageOf(version));
  const [found] = file?.services ?? [];
  if (found === undefined) throw new Error(`no version ${version}`);
  const text = Buffer.from(contractSet({ service: found })).toString("latin1");
  return Buffer.from(text.replaceAll(packageOf(version), "changing00"), "latin1");
}

function workflowOf(version: string): Workflow {
  const types = createFileRegistry(fromBinary(FileDescriptorSetSchema, set(version)));
  const services = [...types].filter((type) => type.kind === "service");
  const [workflow] = readWorkflows(
    { services, overrides: {}, types, validator: createValidator({ registry: types }) },
    [],
  ).values();
  if (workflow === undefined) throw new Error(`no workflow in ${version}`);
  return workflow;
}

/** What stands in the way of a run that was accepted under the version "before". */
const changes = (version: string): string[] => incompatibilities(set("before"), workflowOf(version));

describe("incompatibilities", () => {
  it.each([
    "before",
    "addition",
    "value_added",
    "field_renamed",
    "field_optional",
    "oneof_renamed",
    "oneof_joined_by_a_newcomer",
    "oneof_left",
    "response_lost_a_field",
    "policy_changed",
  ])("finds nothing against %s", (version) => {
    expect(changes(version)).toEqual([]);
  });

  it.each<[string, string[]]>([
    ["method_gone", ["the contract that it was accepted under has no method changing00.S/N"]],
    ["service_gone", ["the contract that it was accepted under has no method changing00.T/M"]],
    ["kind_changed", ["changing00.S/M was server-streaming and is unary"]],
    [
      "types_changed",
      [
        "the input of changing00.S/M was changing00.In and is changing00.Other",
        "the output of changing00.S/M was changing00.Out and is changing00.Another",
      ],
    ],
    ["field_gone", ["field 2 of changing00.In (steps) is gone"]],
    ["field_renumbered", ["field 2 of changing00.In (steps) is gone"]],
    ["scalar_changed", ["field 2 of changing00.In (steps) was int32 and is int64"]],
    ["message_changed", ["field 4 of changing00.In (part) was changing00.Part and is changing00.Film"]],
    ["repeated_now", ["field 1 of changing00.In (prompt) was string and is repeated string"]],
    ["single_now", ["field 5 of changing00.In (parts) was repeated changing00.Part and is changing00.Part"]],
    [
      "map_changed",
      ["field 6 of changing00.In (named) was map<string, changing00.Part> and is map<int32, changing00.Part>"],
    ],
    [
      "map_values_changed",
      ["field 6 of changing00.In (named) was map<string, changing00.Part> and is map<string, bytes>"],
    ],
    ["enum_to_number", ["field 3 of changing00.In (size) was changing00.Size and is int32"]],
    ["value_gone", ["changing00.Size has no value 2 (SIZE_LARGE) any more"]],
    [
      "rivals_now",
      [
        "field 9 of changing00.In (left) could be set together with right, and is in a oneof with it now",
        "field 10 of changing00.In (right) could be set together with left, and is in a oneof with it now",
      ],
    ],
    [
      "rivals_of_a_oneof",
      [
        "field 7 of changing00.In (url) could be set together with left, and is in a oneof with it now",
        "field 8 of changing00.In (data) could be set together with left, and is in a oneof with it now",
        "field 9 of changing00.In (left) could be set together with url, and is in a oneof with it now",
      ],
    ],
    ["nested_gone", ["field 3 of changing00.Part (weight) is gone"]],
    ["response_changed", ["field 2 of changing00.Out (film) was changing00.Film and is string"]],
    ["response_nested_changed", ["field 1 of changing00.Film (data) was bytes and is int32"]],
  ])("names what is wrong with %s", (version, expected) => {
    expect(changes(version)).toEqual(expected);
  });

  it("names a field that is required now", async () => {
    const proto2 = (name: string, label: string) =>
      contractSource(
        name,
        `service S { rpc M(In) returns (Out) { option (retake.v1.workflow) = {}; } }
         message In { ${label} string prompt = 1; optional In in = 2; } message Out {}`,
      ).replace("proto3", "proto2");
    const registry = await compileContracts({
      "required1.proto": proto2("required1", "optional"),
      "required2.proto": proto2("required2", "required"),
    });
    const [before, now] = ["required1.S", "required2.S"].map((name) => registry.getService(name));
    if (before === undefined || now === undefined) throw new Error("the contracts are lost");
    const old = Buffer.from(contractSet({ service: before }))
      .toString("latin1")
      .replaceAll("required1", "required2");
    const [workflow] = readWorkflows(
      { services: [now], overrides: {}, types: registry, validator: createValidator({ registry }) },
      [],
    ).values();
    expect(workflow && incompatibilities(Buffer.from(old, "latin1"), workflow)).toEqual([
      "field 1 of required2.In (prompt) is required now",
    ]);
    expect(workflow && incompatibilities(contractSet(workflow), workflow)).toEqual([]);
  });

  it("says so when the old contract cannot be read", () => {
    const [broken] = incompatibilities(Uint8Array.of(10, 200, 1), workflowOf("before"));
    expect(broken).toMatch(/^the contract that it was accepted under cannot be read: /);
    expect(incompatibilities(new Uint8Array(), workflowOf("before"))).toEqual([
      "the contract that it was accepted under has no method changing00.S/M",
    ]);
  });
});
