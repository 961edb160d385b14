import {
  clone,
  create,
  type DescMessage,
  type Message,
  type MessageInitShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { TextToVideoRequestSchema } from "../../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { degrade } from "../../../src/contract/index.ts";
import { RenderRequestSchema, Resolution } from "../../gen/retake/test/v1/contracts_pb.js";
import { compileContracts, contractSource } from "../compile-contracts.ts";

const validator = createValidator();
const levels = [Quality.MINIMAL, Quality.LOW, Quality.MEDIUM, Quality.HIGH, Quality.FULL];

const contract = contractSource(
  "degrade.v1",
  `
  enum Size { option allow_alias = true; SIZE_UNSPECIFIED = 0; S = 1; M = 3; L = 5; LARGE = 5; XL = 9; }
  message Part {
    int32 steps = 1 [(retake.v1.quality).scale = {}];
    repeated Part parts = 2;
  }
  message In {
    int32 plain = 1 [(retake.v1.quality).scale = {}];
    int32 stepped = 2 [(retake.v1.quality).scale = { min: 100 step: 16 }];
    uint64 large = 3 [(retake.v1.quality).scale = {}];
    int64 text = 4 [jstype = JS_STRING, (retake.v1.quality).scale = { min: 3 }];
    double share = 5 [(retake.v1.quality).scale = { min: 0.25 }];
    float thin = 6 [(retake.v1.quality).scale = {}];
    optional int32 zero = 7 [(retake.v1.quality).scale = { min: 0 }];
    int32 unset_at_zero = 8 [(retake.v1.quality).scale = { min: 0 }];
    optional sint32 negative = 9 [(retake.v1.quality).scale = { min: -50 }];
    Size size = 10 [(retake.v1.quality).ladder = {}];
    Size least = 11 [(retake.v1.quality).ladder = { min: 3 }];
    optional Size to_zero = 12 [(retake.v1.quality).ladder = { min: 0 }];
    bool on = 13 [(retake.v1.quality).off_below = QUALITY_FULL];
    optional bool maybe = 14 [(retake.v1.quality).off_below = QUALITY_MEDIUM];
    repeated string extras = 15 [(retake.v1.quality).off_below = QUALITY_MEDIUM];
    map<string, string> labels = 16 [(retake.v1.quality).off_below = QUALITY_MEDIUM];
    Part detail = 17 [(retake.v1.quality).off_below = QUALITY_LOW];
    oneof choice {
      int32 chosen = 18 [(retake.v1.quality).scale = {}];
      string removed = 19 [(retake.v1.quality).off_below = QUALITY_HIGH];
    }
    repeated Part parts = 20;
    map<string, Part> named = 21;
    optional int32 gte = 22 [(buf.validate.field).int32.gte = 30, (retake.v1.quality).scale = { step: 8 }];
    optional uint64 gt = 23 [(buf.validate.field).uint64.gt = 30, (retake.v1.quality).scale = {}];
    optional double at_least = 24 [(buf.validate.field).double.gte = 0.5, (retake.v1.quality).scale = {}];
    optional int32 outside = 25 [(buf.validate.field).int32 = { gt: 50 lt: 10 }, (retake.v1.quality).scale = {}];
    int32 one_of = 26 [(buf.validate.field).int32 = { in: [0, 10, 40, 50] }, (retake.v1.quality).scale = {}];
    int32 width = 27 [(retake.v1.quality).scale = {}];
    int32 height = 28 [(retake.v1.quality).scale = {}];
    optional int32 asked = 29 [(retake.v1.quality).scale = {}];
    option (buf.validate.message).cel = {
      id: "in.area" message: "too small" expression: "this.width == 0 || this.width * this.height >= 2500"
    };
  }`,
);

let schema: DescMessage;
beforeAll(async () => {
  const files = await compileContracts({ "degrade.proto": contract });
  const found = files.getMessage("degrade.v1.In");
  if (found === undefined) throw new Error("In is lost");
  schema = found;
});

/** A field of a degraded message, by level from FULL down. */
function valuesOf(init: Record<string, unknown>, field: string): unknown[] {
  return levels.toReversed().map((level) => {
    const message = create(schema, init as never);
    degrade(schema, message, level, validator);
    return (message as unknown as Record<string, unknown>)[field];
  });
}

describe("scale", () => {
  it.each<[string, unknown, unknown[]]>([
    ["plain", 100, [100, 80, 60, 40, 20]],
    ["plain", 1, [1, 1, 1, 1, 1]],
    ["plain", 2, [2, 1, 1, 1, 1]],
    ["plain", 2_147_483_647, [2_147_483_647, 1_717_986_917, 1_288_490_188, 858_993_458, 429_496_729]],
    ["plain", 0, [0, 0, 0, 0, 0]],
    ["plain", -10, [-10, -10, -10, -10, -10]],
    ["stepped", 480, [480, 384, 288, 192, 112]],
    ["stepped", 112, [112, 112, 112, 112, 112]],
    ["stepped", 50, [50, 50, 50, 50, 50]],
    [
      "large",
      2n ** 64n - 1n,
      [2n ** 64n - 1n, 14757395258967641292n, 11068046444225730969n, 7378697629483820646n, 3689348814741910323n],
    ],
    ["text", "10", ["10", "8", "6", "4", "3"]],
    ["share", 0.5, [0.5, 0.4, 0.3, 0.25, 0.25]],
    ["share", 0.2, [0.2, 0.2, 0.2, 0.2, 0.2]],
    ["share", Number.POSITIVE_INFINITY, Array(5).fill(Number.POSITIVE_INFINITY)],
    ["share", Number.NaN, Array(5).fill(Number.NaN)],
    ["thin", 1.5, [1.5, Math.fround(1.2), Math.fround(0.9), Math.fround(0.6), Math.fround(0.3)]],
    ["zero", 1, [1, 0, 0, 0, 0]],
    ["unsetAtZero", 1, [1, 1, 1, 1, 1]],
    ["negative", -10, [-10, -10, -10, -10, -10]],
    ["negative", 10, [10, 8, 6, 4, 2]],
    // The field's own rules bound it too, at the first multiple of `step` from there on.
    ["gte", 100, [100, 80, 56, 40, 32]],
    ["gt", 100n, [100n, 80n, 60n, 40n, 31n]],
    ["atLeast", 1, [1, 0.8, 0.6, 0.5, 0.5]],
    ["outside", 100, [100, 80, 60, 60, 60]],
    ["outside", 8, [8, 6, 4, 3, 1]],
    // 40, 30, 20, 10, of which its rule allows 40 and 10.
    ["oneOf", 50, [50, 40, 40, 40, 10]],
  ])("makes %s %s into %s", (field, value, expected) => {
    expect(valuesOf({ [field]: value }, field)).toEqual(expected);
  });
});

describe("ladder", () => {
  it.each([
    ["size", 9, [9, 5, 3, 1, 1]],
    ["size", 1, [1, 1, 1, 1, 1]],
    ["size", 0, [0, 0, 0, 0, 0]],
    ["size", 4, [4, 4, 4, 4, 4]],
    ["least", 9, [9, 5, 3, 3, 3]],
    ["least", 1, [1, 1, 1, 1, 1]],
    ["toZero", 3, [3, 1, 0, 0, 0]],
  ])("makes %s %s into %s", (field, value, expected) => {
    expect(valuesOf({ [field]: value }, field)).toEqual(expected);
  });
});

describe("off_below", () => {
  const labels = { a: "b" };
  it.each<[string, unknown, unknown[]]>([
    ["on", true, [true, false, false, false, false]],
    ["maybe", true, [true, true, true, false, false]],
    ["extras", ["a"], [["a"], ["a"], ["a"], [], []]],
    ["labels", labels, [labels, labels, labels, {}, {}]],
  ])("turns %s off", (field, value, expected) => {
    expect(valuesOf({ [field]: value }, field)).toEqual(expected);
  });

  it("unsets messages, and tells nothing of what was in them", () => {
    const message = create(schema, { detail: { steps: 10 } } as never);
    expect(degrade(schema, message, Quality.LOW, validator)).toEqual(["detail.steps"]);
    const gone = create(schema, { detail: { steps: 10, parts: [{ steps: 5 }] } } as never);
    expect(degrade(schema, gone, Quality.MINIMAL, validator)).toEqual(["detail"]);
    expect(toJson(schema, gone)).toEqual({});
  });

  it("unsets the chosen member of a oneof, and leaves others alone", () => {
    const removed = create(schema, { choice: { case: "removed", value: "a" } } as never);
    expect(degrade(schema, removed, Quality.MEDIUM, validator)).toEqual(["removed"]);
    expect(toJson(schema, removed)).toEqual({});
    const chosen = create(schema, { choice: { case: "chosen", value: 10 } } as never);
    expect(degrade(schema, chosen, Quality.MEDIUM, validator)).toEqual(["chosen"]);
    expect(toJson(schema, chosen)).toEqual({ chosen: 6 });
  });

  it("keeps an explicit false, and what is unset", () => {
    const message = create(schema, { maybe: false } as never);
    expect(degrade(schema, message, Quality.MINIMAL, validator)).toEqual([]);
    expect(toJson(schema, message)).toEqual({ maybe: false });
  });
});

describe("messages within messages", () => {
  it("are degraded in lists and maps, at any depth, and named once", () => {
    const message = create(schema, {
      parts: [{ steps: 10, parts: [{ steps: 20 }] }, { steps: 30 }, {}],
      named: { "a.b": { steps: 40 } },
    } as never);
    expect(degrade(schema, message, Quality.HIGH, validator)).toEqual([
      "parts.steps",
      "parts.parts.steps",
      "named.steps",
    ]);
    expect(toJson(schema, message)).toEqual({
      parts: [{ steps: 8, parts: [{ steps: 16 }] }, { steps: 24 }, {}],
      named: { "a.b": { steps: 32 } },
    });
  });
});

describe("a rule of the whole message", () => {
  it("lets no field be lower than the level at which it holds", () => {
    const init = { width: 60, height: 60, plain: 100 };
    // 48 x 48 is less than 2,500 already.
    expect(valuesOf(init, "width")).toEqual([60, 60, 60, 60, 60]);
    expect(valuesOf(init, "plain")).toEqual([100, 100, 100, 100, 100]);
    expect(valuesOf({ width: 100, height: 100, plain: 100 }, "plain")).toEqual([100, 80, 60, 60, 60]);
    const message = create(schema, init as never);
    expect(degrade(schema, message, Quality.MINIMAL, validator)).toEqual([]);
    expect(message).toEqual(create(schema, init as never));
  });

  it("that cannot be applied counts as broken", () => {
    const message = create(schema, { plain: 100 } as never);
    const answers = [{ kind: "valid" }, ...Array(4).fill({ kind: "error" })];
    expect(degrade(schema, message, Quality.MINIMAL, { validate: () => answers.shift() as never })).toEqual([]);
    expect(toJson(schema, message)).toEqual({ plain: 100 });
    expect(answers).toEqual([]);
  });

  it("that was broken before does not count: the contract has become stricter since", () => {
    expect(valuesOf({ width: 10, height: 10, plain: 100 }, "width")).toEqual([10, 8, 6, 4, 2]);
    expect(valuesOf({ oneOf: 7, plain: 100 }, "plain")).toEqual([100, 80, 60, 40, 20]);
    expect(valuesOf({ oneOf: 7, width: 60, height: 60 }, "width")).toEqual([60, 60, 60, 60, 60]);
  });
});

describe("degraded requests, whatever is in them,", () => {
  const part = fc.record({ steps: fc.integer({ min: -5, max: 300 }) });
  const anyInit = fc.record(
    {
      plain: fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
      stepped: fc.integer({ min: 0, max: 5000 }),
      large: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      share: fc.double(),
      thin: fc.float(),
      zero: fc.integer({ min: -3, max: 50 }),
      negative: fc.integer({ min: -100, max: 100 }),
      size: fc.integer({ min: -1, max: 10 }),
      least: fc.constantFrom(0, 1, 3, 5, 9),
      on: fc.boolean(),
      maybe: fc.boolean(),
      extras: fc.array(fc.string(), { maxLength: 2 }),
      detail: part,
      parts: fc.array(part, { maxLength: 4 }),
      named: fc.dictionary(fc.string(), part, { maxKeys: 3 }),
      gte: fc.integer({ min: 30, max: 200 }),
      gt: fc.bigInt({ min: 31n, max: 2n ** 64n - 1n }),
      atLeast: fc.double({ min: 0.5, noNaN: true }),
      outside: fc.oneof(fc.integer({ min: 51, max: 500 }), fc.integer({ min: 0, max: 9 })),
      oneOf: fc.constantFrom(0, 10, 40, 50),
      width: fc.integer({ min: 0, max: 300 }),
      height: fc.integer({ min: 0, max: 300 }),
      asked: fc.integer({ min: -2, max: 20 }),
    },
    { requiredKeys: [] },
  );
  const render = fc.record(
    {
      prompt: fc.string({ minLength: 1, maxLength: 5 }),
      steps: fc.integer({ min: 1, max: 200 }),
      resolution: fc.constantFrom(Resolution.UNSPECIFIED, Resolution.SMALL, Resolution.LARGE),
      upscale: fc.boolean(),
    },
    { requiredKeys: ["prompt", "steps"] },
  );
  const size = fc.integer({ min: 16, max: 120 }).map((count) => count * 16);
  const video = fc.record(
    {
      prompt: fc.string({ minLength: 1, maxLength: 5 }),
      width: size,
      height: size,
      steps: fc.integer({ min: 1, max: 200 }),
      upscale: fc.boolean(),
    },
    { requiredKeys: ["prompt"] },
  );

  const kinds: readonly (readonly [string, () => DescMessage, fc.Arbitrary<object>])[] = [
    ["all kinds of rules", () => schema, anyInit],
    ["a contract of the tests", () => RenderRequestSchema, render],
    ["the video example", () => TextToVideoRequestSchema, video],
  ];

  it.each(kinds)("are valid, ask for less level by level, and invent nothing (%s)", (_, of, inits) => {
    const type = of();
    let checked = 0;
    fc.assert(
      fc.property(inits, (init) => {
        const sent = create(type, init as MessageInitShape<DescMessage>);
        if (validator.validate(type, sent).kind !== "valid") return;
        checked++;
        let above: Message = sent;
        for (const level of levels.toReversed()) {
          const lower = clone(type, sent);
          const changed = degrade(type, lower, level, validator);
          expect(validator.validate(type, lower).kind).toBe("valid");
          assertNoMore(type, lower, above);
          expect(changed.length > 0).toBe(!sameBytes(type, lower, sent));
          if (level === Quality.FULL) expect(changed).toEqual([]);
          const again = clone(type, sent);
          expect(degrade(type, again, level, validator)).toEqual(changed);
          expect(sameBytes(type, again, lower)).toBe(true);
          above = lower;
        }
      }),
      { numRuns: 150 },
    );
    expect(checked).toBeGreaterThan(20);
  });
});

function sameBytes(type: DescMessage, a: Message, b: Message): boolean {
  return Buffer.compare(toBinary(type, a), toBinary(type, b)) === 0;
}

/** That nothing is set which is not set above, and that no number is greater. */
function assertNoMore(type: DescMessage, lower: Message, above: Message): void {
  const [a, b] = [reflect(type, lower), reflect(type, above)];
  for (const field of type.fields) {
    if (!a.isSet(field)) continue;
    expect(b.isSet(field), `${field} is set`).toBe(true);
    const [value, most] = [a.get(field), b.get(field)];
    if (typeof value === "number" || typeof value === "bigint") {
      expect(value <= (most as number | bigint) || Object.is(value, most), `${field}: ${value} <= ${most}`).toBe(true);
    } else if (field.fieldKind === "message") {
      assertNoMore(field.message, a.get(field).message, b.get(field).message);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      const items = [...a.get(field)] as { message: Message }[];
      for (const [index, { message }] of items.entries()) {
        assertNoMore(field.message, message, (b.get(field).get(index) as { message: Message }).message);
      }
    }
  }
}
