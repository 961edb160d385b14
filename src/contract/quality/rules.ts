import { type DescField, type DescMessage, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { type Quality, quality } from "../../../gen/retake/v1/options_pb.js";
import { reachableMessages } from "../reachable-messages.ts";
import { stepDown } from "./ladder.ts";
import type { Lowering } from "./lowering.ts";
import { scaleDown } from "./scale.ts";

/** What a lower quality asks of one type of message. The contract has passed its checks. */
export interface QualityRules {
  /** The fields with rules of their own. */
  readonly fields: readonly { readonly field: DescField; readonly lower: Lowering }[];
  /** The fields by which it leads to messages with rules. */
  readonly nested: readonly DescField[];
}

const known = new WeakMap<DescMessage, QualityRules>();

/** Whether a message, or any that it can hold, has fields that a lower quality changes. Their rules may not fit them yet. */
export function hasQualityRules(schema: DescMessage): boolean {
  return reachableMessages(schema)
    .values()
    .some(({ fields }) => fields.some(hasRule));
}

/** Remembered for each type. */
export function qualityRules(schema: DescMessage): QualityRules {
  let rules = known.get(schema);
  if (rules === undefined) {
    rules = {
      fields: schema.fields.filter(hasRule).map((field) => ({ field, lower: readRule(field) })),
      nested: schema.fields.filter(({ message }) => message !== undefined && hasQualityRules(message)),
    };
    known.set(schema, rules);
  }
  return rules;
}

function hasRule(field: DescField): boolean {
  return hasOption(field, quality);
}

function readRule(field: DescField): Lowering {
  const { rule } = getOption(field, quality);
  if (rule.case === "scale" && field.fieldKind === "scalar") return scaleDown(field, rule.value);
  if (rule.case === "ladder" && field.fieldKind === "enum") return stepDown(field.enum, rule.value);
  if (rule.case === "offBelow") return turnOff(field, rule.value);
  throw new TypeError(`${field} has a quality rule that does not fit it`);
}

function turnOff(field: DescField, below: Quality): Lowering {
  const off = field.fieldKind === "scalar" && field.scalar === ScalarType.BOOL ? false : undefined;
  return (value, level) => (level < below ? off : value);
}
