import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { SeededRandom } from "./random.ts";

const texts = [
  ...[
    "",
    " ",
    "a",
    "x".repeat(300),
    "x".repeat(20_000),
    "\0",
    "\u202e",
    "\ufffe",
    "港",
    "👩‍🚀",
    "%00",
    "../../etc/passwd",
  ],
  ...["__proto__", "constructor", "toString", "<script>", "{{7*7}}", "' OR 1=1 --", "{}", "[]", "null", "-1", "1e999"],
  ...[
    "018f0000-0000-7000-8000-000000000000",
    "0".repeat(32),
    "retake.test.v1.WorkflowsService/Plain",
    "type.googleapis.com/x",
  ],
];
const numbers = [0, 1, -1, 2, 100, 2 ** 31 - 1, -(2 ** 31), 1_000_000];
const longs = [0n, 1n, -1n, 100n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n];
const doubles = [0, 1, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, 1.7e308];

export function hostileText(random: SeededRandom): string {
  return random.chance(0.8) ? random.pick(texts) : random.bytes(random.below(40)).toString("latin1");
}

/** A message whose fields hold anything that their types can. */
export function hostileMessage(desc: DescMessage, random: SeededRandom, depth = 0): Message {
  const message = create(desc);
  const open = reflect(desc, message);
  for (const field of desc.fields) {
    if (!random.chance(0.6)) continue;
    switch (field.fieldKind) {
      case "scalar":
        open.set(field, hostileScalar(field.scalar, random));
        break;
      case "enum":
        open.set(field, random.chance(0.8) ? random.pick(field.enum.values).number : random.pick(numbers));
        break;
      case "message":
        if (depth < 3) open.set(field, reflect(field.message, hostileMessage(field.message, random, depth + 1)));
        break;
      case "list":
        for (let item = random.below(3); item > 0; item--) open.get(field).add(hostileElement(field, random, depth));
        break;
      case "map": {
        const key = hostileScalar(field.mapKey, random) as string;
        open.get(field).set(key, hostileElement(field, random, depth));
        break;
      }
    }
  }
  return message;
}

function hostileElement(
  field: DescField & { fieldKind: "list" | "map" },
  random: SeededRandom,
  depth: number,
): unknown {
  if (field.scalar !== undefined) return hostileScalar(field.scalar, random);
  if (field.enum !== undefined) return random.pick(field.enum.values).number;
  const inner = depth < 3 ? hostileMessage(field.message, random, depth + 1) : create(field.message);
  return reflect(field.message, inner);
}

function hostileScalar(type: ScalarType, random: SeededRandom): unknown {
  switch (type) {
    case ScalarType.STRING:
      return hostileText(random).toWellFormed();
    case ScalarType.BYTES:
      return new Uint8Array(random.bytes(random.pick([0, 1, 31, 32, 33, 200])));
    case ScalarType.BOOL:
      return random.chance(0.5);
    case ScalarType.DOUBLE:
      return random.pick(doubles);
    case ScalarType.FLOAT:
      return Math.fround(random.pick([0, 1, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]));
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return random.pick(longs);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return random.pick(longs.filter((each) => each >= 0n));
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return random.pick(numbers.filter((each) => each >= 0));
    default:
      return random.pick(numbers);
  }
}

/** The same bytes, but for what happens to them on a bad line or in bad hands. */
export function mutated(bytes: Uint8Array, random: SeededRandom): Buffer {
  let result = Buffer.from(bytes);
  for (let change = random.below(4); change > 0; change--) {
    const at = random.below(result.length + 1);
    switch (random.below(6)) {
      case 0:
        if (at < result.length) result.writeUInt8(random.below(256), at);
        break;
      case 1:
        result = result.subarray(0, at);
        break;
      case 2:
        result = Buffer.concat([result.subarray(0, at), random.bytes(random.below(8)), result.subarray(at)]);
        break;
      case 3:
        result = Buffer.concat([result, result.subarray(at)]).subarray(0, 100_000);
        break;
      case 4:
        // A length that is not there.
        result = Buffer.concat([
          result.subarray(0, at),
          Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]),
          result.subarray(at),
        ]);
        break;
      case 5:
        // Groups and messages within each other.
        result = Buffer.concat([result, Buffer.alloc(random.below(2_000), random.pick([0x0b, 0x0a, 0x7b, 0x5b]))]);
        break;
    }
  }
  return result;
}
