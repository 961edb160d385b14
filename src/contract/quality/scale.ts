import { type DescField, getOption, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { Quality, QualityScale } from "../../../gen/retake/v1/options_pb.js";
import type { Lowering } from "./lowering.ts";

/** A level's number is its factor in fifths: whole numbers, so that nothing is lost on the way. */
const fifths = 5;

/** Multiplies by the level's factor. What would not become less stays as it is. */
export function scaleDown(field: DescField & { fieldKind: "scalar" }, scale: QualityScale): Lowering {
  return isFraction(field.scalar) ? scaleFraction(field, scale) : scaleInteger(field, scale);
}

export function isFraction(scalar: ScalarType): boolean {
  return scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT;
}

export function isNumber(scalar: ScalarType): boolean {
  return scalar !== ScalarType.BOOL && scalar !== ScalarType.STRING && scalar !== ScalarType.BYTES;
}

function scaleFraction(field: DescField & { fieldKind: "scalar" }, scale: QualityScale): Lowering {
  const min = Math.max(scale.min ?? 0, Number(lowestAllowed(field)?.value ?? 0));
  const round = field.scalar === ScalarType.FLOAT ? Math.fround : (value: number) => value;
  return (value, level) => {
    const lowered = round(Math.max(min, ((value as number) * level) / fifths));
    // False for what is no number, too.
    return (value as number) > 0 && lowered < (value as number) ? lowered : value;
  };
}

/** Integers of 64 bits are bigints, and their largest are not numbers: all are counted as bigints. */
function scaleInteger(field: DescField & { fieldKind: "scalar" }, scale: QualityScale): Lowering {
  const step = BigInt(scale.step ?? 1);
  const allowed = lowestAllowed(field);
  const bounds = [BigInt(Math.ceil(scale.min ?? 1))];
  if (allowed !== undefined) bounds.push(BigInt(allowed.value) + (allowed.exclusive ? 1n : 0n));
  // Where 0 means unset it would not be less, but the default.
  if (field.presence === FeatureSet_FieldPresence.IMPLICIT) bounds.push(1n);
  let min = 0n;
  for (const bound of bounds) if (roundUp(bound, step) > min) min = roundUp(bound, step);
  return (value, level) => {
    const whole = BigInt(value as number | bigint);
    if (whole <= 0n) return value;
    const scaled = (whole * BigInt(level satisfies Quality)) / BigInt(fifths);
    const rounded = scaled - (scaled % step);
    const lowered = rounded > min ? rounded : min;
    if (lowered >= whole) return value;
    return typeof value === "bigint" ? lowered : Number(lowered);
  };
}

function roundUp(value: bigint, step: bigint): bigint {
  const rest = ((value % step) + step) % step;
  return rest === 0n ? value : value + step - rest;
}

interface Bound {
  readonly value: number | bigint;
  readonly exclusive: boolean;
}

/** The field's own lower bound. With an upper one below it, the rule means what is outside of the two: that bounds nothing. */
function lowestAllowed(field: DescField): Bound | undefined {
  const rules: object | undefined = getOption(field, fieldRules).type.value;
  if (rules === undefined || !("greaterThan" in rules)) return undefined;
  const { greaterThan, lessThan } = rules as unknown as Record<"greaterThan" | "lessThan", RuleBound>;
  if (greaterThan.case === undefined) return undefined;
  if (lessThan.case !== undefined && lessThan.value < greaterThan.value) return undefined;
  return { value: greaterThan.value, exclusive: greaterThan.case === "gt" };
}

type RuleBound = { readonly case: string; readonly value: number | bigint } | { readonly case: undefined };
