import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { isKeyField, keyFieldProblem, keyFields } from "./idempotency-key.ts";
import { qualityProblem } from "./quality/check.ts";
import { reachableMessages } from "./reachable-messages.ts";

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
    fields.flatMap((field) => qualityProblem(field).map((message) => ({ field, message }))),
  );
}
