import {
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { type QualityRuleSchema, quality, QualityRuleSchema as schema } from "../../gen/retake/v1/options_pb.js";
import { isKeyField, keyFieldProblem, keyFields } from "./idempotency-key.ts";
import { reachableMessages } from "./reachable-messages.ts";
import { ruleViolations } from "./rule-violations.ts";

/** A field, and what is wrong with the options that it carries. */
export interface FieldProblem {
  readonly field: DescField;
  readonly message: string;
}

/**
 * What is wrong with the marks on a request's fields, at any depth. A key inside another message is read by nobody,
 * unless that message is a request (one of `requests`) itself.
 */
export function requestProblems(input: DescMessage, requests: ReadonlySet<DescMessage>): FieldProblem[] {
  return [...keyProblems(input, requests), ...qualityProblems(input)];
}

function keyProblems(input: DescMessage, requests: ReadonlySet<DescMessage>): FieldProblem[] {
  const [first, ...others] = keyFields(input);
  const problems = others.map((field) => ({
    field,
    message: `carries the idempotency key, and so does "${first?.name}"; a request has one key`,
  }));
  for (const field of keyFields(input)) {
    const message = keyFieldProblem(field);
    if (message !== undefined) problems.push({ field, message });
  }
  for (const nested of reachableMessages(input)) {
    if (requests.has(nested)) continue;
    for (const field of nested.fields.filter(isKeyField)) {
      problems.push({
        field,
        message: `carries the idempotency key inside another message; mark a field of ${input.typeName} itself`,
      });
    }
  }
  return problems;
}

function qualityProblems(input: DescMessage): FieldProblem[] {
  return [...reachableMessages(input)].flatMap(({ fields }) =>
    fields.flatMap((field) => {
      if (!hasOption(field, quality)) return [];
      const rule = getOption(field, quality);
      const violations = ruleViolations(schema, rule).map((text) => `option (retake.v1.quality): ${text}`);
      const messages = violations.length > 0 ? violations : (qualityProblem(field, rule) ?? []);
      return [messages].flat().map((message) => ({ field, message }));
    }),
  );
}

function qualityProblem(field: DescField, { rule }: MessageShape<typeof QualityRuleSchema>): string | undefined {
  switch (rule.case) {
    case "scale":
      if (field.fieldKind !== "scalar" || !isNumber(field.scalar)) {
        return "has the quality rule `scale`, which is for single numbers; leave it out, or use `off_below`";
      }
      if (rule.value.min !== undefined && !Number.isFinite(rule.value.min)) {
        return "has the quality rule `scale` with a `min` that is no number";
      }
      return rule.value.step !== undefined && isFraction(field.scalar)
        ? "has the quality rule `scale` with a `step`, which is for integers"
        : undefined;
    case "ladder":
      if (field.fieldKind !== "enum") {
        return "has the quality rule `ladder`, which is for single enums; leave it out, or use `scale` or `off_below`";
      }
      return rule.value.min !== undefined && field.enum.value[rule.value.min] === undefined
        ? `has the quality rule \`ladder\` with min: ${rule.value.min}, which is no value of ${namesOf(field.enum)}`
        : undefined;
    default:
      return undefined;
  }
}

function namesOf({ typeName, values }: DescEnum): string {
  return `${typeName} (${values.map(({ name, number }) => `${number} ${name}`).join(", ")})`;
}

function isFraction(scalar: ScalarType): boolean {
  return scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT;
}

function isNumber(scalar: ScalarType): boolean {
  return scalar !== ScalarType.BOOL && scalar !== ScalarType.STRING && scalar !== ScalarType.BYTES;
}
