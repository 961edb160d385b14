import {
  create,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromJson,
  type JsonValue,
  type Message,
  ScalarType,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { messageMapping } from "../../../src/contract/mapping/message-mapping.ts";
import { compileProtos } from "../../compile-protos.ts";

/** Everything that a field can be, in two packages. */
const everything = (packageName: string) => `
  syntax = "proto3";
  package ${packageName};
  import "google/protobuf/any.proto";
  import "google/protobuf/duration.proto";
  import "google/protobuf/struct.proto";
  import "google/protobuf/timestamp.proto";
  import "google/protobuf/wrappers.proto";
  enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; COLOUR_BLUE = 5; }
  message All {
    int32 int32 = 1; sint32 sint32 = 2; sfixed32 sfixed32 = 3; uint32 uint32 = 4; fixed32 fixed32 = 5;
    int64 int64 = 6; sint64 sint64 = 7 [jstype = JS_STRING]; sfixed64 sfixed64 = 8; uint64 uint64 = 9; fixed64 fixed64 = 10;
    float float = 11; double double = 12; bool bool = 13; string string = 14; bytes bytes = 15;
    optional int32 maybe = 16; optional string text = 17; Colour colour = 18; All self = 19;
    repeated string words = 20; repeated int64 longs = 21; repeated Colour colours = 22; repeated All selves = 23;
    map<string, int32> counts = 24; map<int64, All> tree = 25; map<bool, Colour> marks = 26;
    oneof choice { string name = 27; All other = 28; int64 number = 29; google.protobuf.Duration length = 30; }
    google.protobuf.Timestamp time = 31; google.protobuf.Int64Value wrapped = 32; google.protobuf.StringValue said = 33;
    google.protobuf.Struct json = 34; google.protobuf.Any any = 35; repeated google.protobuf.BoolValue flags = 36;
    optional Colour perhaps = 37;
  }`;

const pairs = `
  syntax = "proto3";
  package pairs;
  import "google/protobuf/duration.proto";
  import "google/protobuf/timestamp.proto";
  import "google/protobuf/wrappers.proto";
  enum Hue { HUE_UNSPECIFIED = 0; HUE_BLUE = 1; HUE_RED = 2; }
  enum Paint { PAINT_UNSPECIFIED = 0; PAINT_RED = 1; PAINT_GREEN = 2; PAINT_BLUE = 3; }
  enum Taste { TASTE_UNSPECIFIED = 0; TASTE_SWEET = 1; }
  message Scene { string title = 1; int32 seconds = 2; string gone = 3; }
  message Shot { int64 seconds = 1; string title = 2; }
  message Story { repeated Scene scenes = 1; map<string, Scene> named = 2; Scene first = 3; Story within = 4; string odd = 5; }
  message Cut { repeated Shot scenes = 1; map<string, Shot> named = 2; Shot first = 3; Cut within = 4; }
  message Narrow { int32 a = 1; uint32 b = 2; float c = 3; uint32 d = 4; google.protobuf.Int32Value e = 5; string f = 6; }
  message Wide { int64 a = 1; uint64 b = 2; double c = 3; int64 d = 4; double e = 5; google.protobuf.StringValue f = 6; }
  message Painted { Paint colour = 1; repeated Paint colours = 2; }
  message Hued { Hue colour = 1; repeated Hue colours = 2; }
  message Loose { string text = 1; bytes image = 2; int32 more = 3; }
  message Either { oneof choice { string text = 1; bytes image = 2; } int32 more = 3; }
  message Misfits {
    string a = 1; repeated string b = 2; int64 c = 3; google.protobuf.Timestamp d = 4; map<string, string> e = 5;
    Paint f = 6; Scene g = 7; Scene h = 8; google.protobuf.Int64Value i = 9; repeated Scene j = 10;
  }
  message Others {
    bytes a = 1; string b = 2; int32 c = 3; google.protobuf.Duration d = 4; map<int32, string> e = 5;
    Taste f = 6; string g = 7; google.protobuf.Timestamp h = 8; google.protobuf.Int32Value i = 9; repeated Narrow j = 10;
  }`;

let registry: FileRegistry;

beforeAll(async () => {
  registry = await compileProtos({
    "one.proto": everything("one"),
    "two.proto": everything("two"),
    "pairs.proto": pairs,
  });
});

function typeNamed(name: string): DescMessage {
  const found = registry.getMessage(name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

function mapped(from: string, into: string, json: JsonValue): JsonValue {
  const { map } = messageMapping(typeNamed(from), typeNamed(into));
  return toJson(typeNamed(into), map(fromJson(typeNamed(from), json, { registry })), { registry });
}

const longs = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const scalars: Record<ScalarType, fc.Arbitrary<unknown>> = {
  [ScalarType.INT32]: fc.integer(),
  [ScalarType.SINT32]: fc.integer(),
  [ScalarType.SFIXED32]: fc.integer(),
  [ScalarType.UINT32]: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  [ScalarType.FIXED32]: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  [ScalarType.INT64]: longs,
  [ScalarType.SINT64]: longs,
  [ScalarType.SFIXED64]: longs,
  [ScalarType.UINT64]: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  [ScalarType.FIXED64]: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  [ScalarType.FLOAT]: fc.float(),
  [ScalarType.DOUBLE]: fc.double(),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.STRING]: fc.string({ unit: "grapheme" }),
  [ScalarType.BYTES]: fc.uint8Array({ maxLength: 8 }),
};

/** A well-known type's members hang together: these are taken as they are. */
const samples: Record<string, readonly JsonValue[]> = {
  "google.protobuf.Timestamp": ["2026-01-02T03:04:05.678Z", "1970-01-01T00:00:00Z"],
  "google.protobuf.Duration": ["1.5s", "0s", "-3s"],
  "google.protobuf.Struct": [{}, { a: [1, null, { b: "c" }] }],
  "google.protobuf.Any": [{}, { "@type": "type.googleapis.com/pairs.Shot", title: "x" }],
};

/** Any message of a type, with any of its fields set. */
function anyMessage(type: DescMessage, depth = 2): fc.Arbitrary<Message> {
  const sample = samples[type.typeName];
  if (sample !== undefined) return fc.constantFrom(...sample).map((json) => fromJson(type, json, { registry }));
  const fields = type.fields.filter((field) => depth > 0 || field.message === undefined);
  return fc
    .record(
      Object.fromEntries(
        fields.map((field) => [field.name, fc.option(anyValue(field, depth - 1), { nil: undefined, freq: 2 })]),
      ),
    )
    .map((values) => {
      const message = reflect(type, create(type));
      for (const field of fields) {
        const value = values[field.name];
        if (value !== undefined) setField(message, field, value);
      }
      return message.message as Message;
    });
}

function anyValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const one =
    field.message !== undefined
      ? anyMessage(field.message, depth)
      : field.enum !== undefined
        ? fc.constantFrom(...field.enum.values.map(({ number }) => number))
        : scalars[field.scalar as ScalarType];
  if (field.fieldKind === "list") return fc.array(one, { maxLength: 3 });
  return field.fieldKind === "map" ? fc.array(fc.tuple(scalars[field.mapKey], one), { maxLength: 3 }) : one;
}

function setField(target: ReflectMessage, field: DescField, value: unknown): void {
  const item = (one: unknown) => (field.message === undefined ? one : reflect(field.message, one as Message));
  if (field.fieldKind === "list") for (const one of value as unknown[]) target.get(field).add(item(one));
  else if (field.fieldKind === "map")
    for (const [key, one] of value as [string, unknown][]) target.get(field).set(key, item(one));
  else target.set(field, item(value));
}

describe("messageMapping", () => {
  it("gives back a message of the same shape, byte for byte, whatever it holds", () => {
    const [one, two] = [typeNamed("one.All"), typeNamed("two.All")];
    const mapping = messageMapping(one, two);
    expect([mapping.misfits, mapping.losses]).toEqual([[], []]);
    fc.assert(
      fc.property(anyMessage(one), (message) => {
        const answer = mapping.map(message);
        expect(answer.$typeName).toBe("two.All");
        expect(Buffer.from(toBinary(two, answer))).toEqual(Buffer.from(toBinary(one, message)));
      }),
      { numRuns: 300 },
    );
  });

  it("leaves a message of the same type as it is", () => {
    const one = typeNamed("one.All");
    const message = create(one);
    expect(messageMapping(one, one).map(message)).toBe(message);
  });

  it("goes into nested messages, lists and maps, and types that contain themselves", () => {
    const scene = { title: "Sea", seconds: 3, gone: "x" };
    const story = { scenes: [scene], named: { a: scene }, first: scene };
    const shot = { title: "Sea", seconds: "3" };
    const cut = { scenes: [shot], named: { a: shot }, first: shot };
    expect(mapped("pairs.Story", "pairs.Cut", { ...story, within: story, odd: "y" })).toEqual({ ...cut, within: cut });
  });

  it("names each field that is lost, once, from the outermost message on", () => {
    const { losses, misfits } = messageMapping(typeNamed("pairs.Story"), typeNamed("pairs.Cut"));
    expect(misfits).toEqual([]);
    expect(losses.map(({ path, into }) => `${path} of ${into.typeName}`)).toEqual([
      "scenes.gone of pairs.Shot",
      "odd of pairs.Cut",
    ]);
  });

  it("widens numbers, and unwraps and wraps", () => {
    expect(mapped("pairs.Narrow", "pairs.Wide", { a: -5, b: 4294967295, c: 1.5, d: 7, e: 0, f: "text" })).toEqual({
      a: "-5",
      b: "4294967295",
      c: 1.5,
      d: "7",
      f: "text",
    });
    expect(mapped("pairs.Narrow", "pairs.Wide", {})).toEqual({});
  });

  it("maps enums by the names of their values, and tells those that are lost", () => {
    const { losses } = messageMapping(typeNamed("pairs.Painted"), typeNamed("pairs.Hued"));
    expect(losses.map(({ path, part }) => [path, part])).toEqual([
      ["colour", "its value PAINT_GREEN"],
      ["colours", "its value PAINT_GREEN"],
    ]);
    expect(
      mapped("pairs.Painted", "pairs.Hued", {
        colour: "PAINT_BLUE",
        colours: ["PAINT_RED", "PAINT_GREEN", "PAINT_BLUE"],
      }),
    ).toEqual({ colour: "HUE_BLUE", colours: ["HUE_RED", "HUE_BLUE"] });
    expect(mapped("pairs.Painted", "pairs.Hued", { colour: "PAINT_GREEN" })).toEqual({});
  });

  it("tells what cannot be kept together, and keeps the last of it", () => {
    const { losses } = messageMapping(typeNamed("pairs.Loose"), typeNamed("pairs.Either"));
    expect(losses.map(({ path, part }) => [path, part])).toEqual([["text", 'it, where "image" is set as well']]);
    expect(mapped("pairs.Loose", "pairs.Either", { text: "a", image: "AAAA", more: 1 })).toEqual({
      image: "AAAA",
      more: 1,
    });
    expect(mapped("pairs.Loose", "pairs.Either", { text: "a" })).toEqual({ text: "a" });
    expect(messageMapping(typeNamed("pairs.Either"), typeNamed("pairs.Loose")).losses).toEqual([]);
  });

  it("names the fields of one name that cannot hold the same, with both types", () => {
    const { misfits } = messageMapping(typeNamed("pairs.Misfits"), typeNamed("pairs.Others"));
    const of = (from: string, into: string) => `is ${from} in pairs.Misfits, and ${into} in pairs.Others`;
    expect(misfits.map(({ path, message }) => [path, message])).toEqual([
      ["a", of("string", "bytes")],
      ["b", of("repeated string", "string")],
      ["c", of("int64", "int32")],
      ["d", of("google.protobuf.Timestamp", "google.protobuf.Duration")],
      ["e", of("map<string, string>", "map<int32, string>")],
      ["f", of("pairs.Paint", "pairs.Taste")],
      ["g", of("pairs.Scene", "string")],
      ["h", of("pairs.Scene", "google.protobuf.Timestamp")],
      ["i", of("google.protobuf.Int64Value", "google.protobuf.Int32Value")],
    ]);
  });
});
