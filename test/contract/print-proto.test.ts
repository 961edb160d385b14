import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  clone,
  create,
  createFileRegistry,
  createRegistry,
  type DescFile,
  type FileRegistry,
  type Registry,
} from "@bufbuild/protobuf";
import { toText } from "@bufbuild/protobuf/txtpb";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { beforeAll, describe, expect, it } from "vitest";
import { printProto } from "../../src/contract/print-proto.ts";
import { compileProtos, compileRepository } from "../compile-protos.ts";

describe("printProto", () => {
  describe("given the contracts of this repository, their imports and files that use everything", () => {
    let original: FileRegistry;

    beforeAll(async () => {
      original = await compileRepository("proto", "test/proto");
    });

    it("prints what compiles to equal descriptors, with the comments and the order of the source", async () => {
      const files = [...original.files];
      expect(files.map(nameOf)).toEqual(
        expect.arrayContaining([
          "buf/validate/validate.proto",
          "google/rpc/error_details.proto",
          "grpc/health/v1/health.proto",
          "grpc/reflection/v1/reflection.proto",
          "retake/v1/options.proto",
          "retake/test/nasty/proto2.proto",
          "retake/test/nasty/edition_2024.proto",
        ]),
      );
      const again = await compileProtos(printAll(files, original));
      for (const file of files) {
        expect(contentOf(sameIn(again, nameOf(file)), again)).toBe(contentOf(file, original));
        expect(commentsOf(sameIn(again, nameOf(file))), nameOf(file)).toEqual(commentsOf(file));
      }
    });

    it("prints what compiles to equal descriptors without any source info", async () => {
      const bare = createFileRegistry(
        create(FileDescriptorSetSchema, { file: Array.from(original.files, ({ proto }) => withoutSourceInfo(proto)) }),
      );
      const again = await compileProtos(printAll([...bare.files], bare));
      for (const file of bare.files) expect(contentOf(sameIn(again, nameOf(file)), again)).toBe(contentOf(file, bare));
    });
  });

  it("prints the descriptors that packages carry, the predefined rules of protovalidate included", async () => {
    const carried = [file_buf_validate_validate, ...(await wellKnownFiles())];
    expect(carried.length).toBeGreaterThan(18);
    const registry = createRegistry(...carried);
    const again = await compileProtos(printAll(carried, registry));
    for (const file of carried) expect(contentOf(sameIn(again, nameOf(file)), again)).toBe(contentOf(file, registry));
    expect(printProto(file_buf_validate_validate)).toContain("(predefined) = {\n      cel: {\n        id: ");
  });

  it("prints a well laid-out source as it was", async () => {
    const registry = await compileProtos({ "shop/v1/shop.proto": shop });
    expect(printOf(registry, "shop/v1/shop.proto")).toBe(shop);
  });

  it("prints a message set, whose extensions may go beyond the largest field number", async () => {
    const source = `syntax = "proto2";

message Set {
  option message_set_wire_format = true;

  extensions 4 to max;
}
`;
    expect(printOf(await compileProtos({ "set.proto": source }), "set.proto")).toBe(source);
  });

  it("writes names as short as their scope resolves them, and with a leading dot where another name is in the way", async () => {
    const registry = await compileProtos({
      "a/b/b.proto": 'syntax = "proto3"; package a.b; message Thing { message Part {} }',
      "a/c/c.proto": `syntax = "proto3"; package a.c; import "a/b/b.proto";
        message Outer {
          message Inner {}
          Inner inner = 1;
          Outer outer = 2;
          .a.b.Thing hidden = 3;
          message a {}
        }
        message Plain {
          a.b.Thing.Part part = 1;
        }`,
    });
    const printed = printOf(registry, "a/c/c.proto");
    expect(printed).toMatch(/^ {2}Inner inner = 1;$/m);
    expect(printed).toMatch(/^ {2}Outer outer = 2;$/m);
    expect(printed).toMatch(/^ {2}\.a\.b\.Thing hidden = 3;$/m);
    expect(printed).toMatch(/^ {2}a\.b\.Thing\.Part part = 1;$/m);
  });

  it("names an option that no known file declares, and prints the rest", async () => {
    const compiled = await compileProtos({
      "lost.proto": `syntax = "proto3";
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.MessageOptions { int32 number = 50000; }
        extend google.protobuf.FieldOptions { string text = 50000; }`,
      "kept.proto": `syntax = "proto3";
        import "lost.proto";
        message Kept {
          option (number) = 1;
          string name = 1 [(text) = "x", deprecated = true];
        }`,
    });
    const file = clone(FileDescriptorProtoSchema, sameIn(compiled, "kept.proto").proto);
    file.dependency = [];
    const printed = printOf(createFileRegistry(create(FileDescriptorSetSchema, { file: [file] })), "kept.proto");
    expect(printed).toBe(`syntax = "proto3";

message Kept {

  // Not shown: field 50000 of google.protobuf.MessageOptions, an option that no known file declares.

  // Not shown: field 50000 of google.protobuf.FieldOptions, an option that no known file declares.
  string name = 1 [deprecated = true];
}
`);
    await expect(compileProtos({ "kept.proto": printed })).resolves.toBeDefined();
  });
});

const shop = `// Sells things.
syntax = "proto3";

package shop.v1;

import "google/protobuf/descriptor.proto"; // for the option

// Of the whole shop.
option java_package = "org.shop";

extend google.protobuf.MethodOptions {
  optional Policy policy = 50000;
}

message Policy {
  string name = 1;
  repeated int32 limits = 2;
  map<string, Policy> parts = 3;
}

// What is sold.
message Thing {
  reserved 7, 10 to 19;
  reserved "old_name";

  // Never empty.
  string name = 1;

  optional double price = 2 [json_name = "cost", deprecated = true];

  // Exactly one.
  oneof kind {
    string tool = 3;
    Size toy = 4;
  }

  enum Size {
    SIZE_UNSPECIFIED = 0;
    SIZE_BIG = 1; // very
  }
}

service Shop {
  // Sells one.
  rpc Buy(Thing) returns (stream Thing) {
    // Said twice is done once.
    option idempotency_level = IDEMPOTENT;
    option (policy) = {
      name: "buy"
      limits: 1
      limits: 2
      parts: {
        key: "a"
        value: {}
      }
    };
  }

  rpc Sell(stream Thing) returns (Thing);
}
`;

function printOf(registry: FileRegistry, name: string): string {
  return printProto(sameIn(registry, name), registry);
}

function printAll(files: readonly DescFile[], registry: Registry): Record<string, string> {
  return Object.fromEntries(files.map((file) => [nameOf(file), printProto(file, registry)]));
}

function nameOf({ proto }: DescFile): string {
  return proto.name;
}

function sameIn(registry: FileRegistry, name: string): DescFile {
  const found = registry.getFile(name);
  if (found === undefined) throw new Error(`${name} was not compiled`);
  return found;
}

/** A descriptor as text, complete with custom options and unknown fields, and free of what has no meaning. */
function contentOf(file: DescFile, registry: Registry): string {
  return toText(FileDescriptorProtoSchema, withoutSourceInfo(file.proto), { registry, printUnknownFields: true })
    .split("\n")
    .filter((line) => !/^ *options: \{\}$/.test(line))
    .join("\n");
}

function withoutSourceInfo(proto: FileDescriptorProto): FileDescriptorProto {
  const copy = clone(FileDescriptorProtoSchema, proto);
  delete copy.sourceCodeInfo;
  return copy;
}

/** All comments, by the path of what they belong to, in the order of the source. */
function commentsOf({ proto }: DescFile): unknown[] {
  return (proto.sourceCodeInfo?.location ?? [])
    .filter(
      (location) => `${location.leadingDetachedComments}${location.leadingComments}${location.trailingComments}` !== "",
    )
    .map(({ path, leadingDetachedComments, leadingComments, trailingComments }) => ({
      path: path.join(),
      leadingDetachedComments,
      leadingComments,
      trailingComments,
    }));
}

async function wellKnownFiles(): Promise<DescFile[]> {
  const manifest = join(import.meta.dirname, "../../node_modules/@bufbuild/protobuf/package.json");
  const { exports } = JSON.parse(await readFile(manifest, "utf8")) as { exports: Record<string, unknown> };
  const modules = Object.keys(exports).filter((name) => name.startsWith("./wkt/google/"));
  const loaded = await Promise.all(
    modules.map(
      (name) => import(/* @vite-ignore */ `@bufbuild/protobuf/${name.slice(2)}`) as Promise<Record<string, unknown>>,
    ),
  );
  return loaded.flatMap((module) => Object.values(module).filter(isFile));
}

function isFile(value: unknown): value is DescFile {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "file";
}
