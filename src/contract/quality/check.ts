import { type DescEnum, type DescField, getOption, hasOption } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import {
  type QualityLadder,
  type QualityRule,
  QualityRuleSchema,
  type QualityScale,
  quality,
} from "../../../gen/retake/v1/options_pb.js";
import { isKeyField } from "../idempotency-key.ts";
import { ruleViolations } from "../rule-violations.ts";
import { rungs } from "./ladder.ts";
import { isFraction, isNumber } from "./scale.ts";

/** What is wrong with the quality rule of a field; nothing where it has none. */
export function qualityProblem(field: DescField): readonly string[] {
  if (!hasOption(field, quality)) return [];
  const option = getOption(field, quality);
  const violations = ruleViolations(QualityRuleSchema, option).map(
    ({ message }) => `option (retake.v1.quality): ${message}`,
  );
  if (violations.length > 0) return violations;
  const problem = misfit(field, option.rule);
  return problem === undefined ? [] : [`has the quality rule ${problem}`];
}

function misfit(field: DescField, rule: QualityRule["rule"]): string | undefined {
  switch (rule.case) {
    case "scale":
      return scaleMisfit(field, rule.value);
    case "ladder":
      return ladderMisfit(field, rule.value);
    case "offBelow":
      return offMisfit(field);
    default:
      return undefined;
  }
}

function scaleMisfit(field: DescField, { min, step }: QualityScale): string | undefined {
  if (field.fieldKind !== "scalar" || !isNumber(field.scalar)) {
    return "`scale`, which is for single numbers; leave it out, or use `off_below`";
  }
  if (min !== undefined && !Number.isFinite(min)) return "`scale` with a `min` that is no number";
  return step !== undefined && isFraction(field.scalar) ? "`scale` with a `step`, which is for integers" : undefined;
}

function ladderMisfit(field: DescField, ladder: QualityLadder): string | undefined {
  if (field.fieldKind !== "enum") {
    return "`ladder`, which is for single enums; leave it out, or use `scale` or `off_below`";
  }
  if (ladder.min !== undefined && field.enum.value[ladder.min] === undefined) {
    return `\`ladder\` with min: ${ladder.min}, which is no value of ${namesOf(field.enum)}`;
  }
  return rungs(field.enum, ladder).length === 0
    ? `\`ladder\`, but there is no value above 0 in ${namesOf(field.enum)}`
    : undefined;
}

function offMisfit(field: DescField): string | undefined {
  const isRequired =
    field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED || getOption(field, fieldRules).required;
  if (isRequired) return "`off_below`, but is required, so that it can never be off; leave one of the two out";
  return isKeyField(field) ? "`off_below`, but carries the idempotency key, which is needed at any quality" : undefined;
}

function namesOf({ typeName, values }: DescEnum): string {
  return `${typeName} (${values.map(({ name, number }) => `${number} ${name}`).join(", ")})`;
}
