import { ScalarType } from "@bufbuild/protobuf";

/** Turns one value into another; undefined where it has no counterpart. */
export type Convert = (value: unknown) => unknown;

const same: Convert = (value) => value;
const toLong: Convert = (value) => BigInt(value as number);

type Kind = "int32" | "uint32" | "int64" | "uint64" | "float" | "double" | "bool" | "string" | "bytes";

/** Encodings of one kind of value differ on the wire only. */
const kinds: Readonly<Record<ScalarType, Kind>> = {
  [ScalarType.INT32]: "int32",
  [ScalarType.SINT32]: "int32",
  [ScalarType.SFIXED32]: "int32",
  [ScalarType.UINT32]: "uint32",
  [ScalarType.FIXED32]: "uint32",
  [ScalarType.INT64]: "int64",
  [ScalarType.SINT64]: "int64",
  [ScalarType.SFIXED64]: "int64",
  [ScalarType.UINT64]: "uint64",
  [ScalarType.FIXED64]: "uint64",
  [ScalarType.FLOAT]: "float",
  [ScalarType.DOUBLE]: "double",
  [ScalarType.BOOL]: "bool",
  [ScalarType.STRING]: "string",
  [ScalarType.BYTES]: "bytes",
};

/** Those that can hold every value of the other. */
const wider: Readonly<Partial<Record<Kind, Readonly<Partial<Record<Kind, Convert>>>>>> = {
  int32: { int64: toLong, double: same },
  uint32: { int64: toLong, uint64: toLong, double: same },
  float: { double: same },
};

/** How a scalar becomes another; undefined where some values would not survive it. */
export function scalarConversion(from: ScalarType, into: ScalarType): Convert | undefined {
  return kinds[from] === kinds[into] ? same : wider[kinds[from]]?.[kinds[into]];
}
