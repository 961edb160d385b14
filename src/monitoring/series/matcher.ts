import { RE2JS } from "re2js";
import type { Labels } from "./series.ts";

export type MatcherOperator = "=" | "!=" | "=~" | "!~";

/** What a label has to be: equal to a value, or matched by a regular expression from beginning to end; or not. */
export interface LabelMatcher {
  readonly label: string;
  readonly operator: MatcherOperator;
  readonly value: string;
}

/** Whether labels are as all of these say. A label that is not there is empty. */
export type LabelTest = (labels: Labels) => boolean;

/** @throws TypeError for an expression that is none, naming the label */
export function labelTest(matchers: readonly LabelMatcher[]): LabelTest {
  const tests = matchers.map(({ label, operator, value }): LabelTest => {
    const matches =
      operator === "=" || operator === "!=" ? (text: string) => text === value : matchesWhole(label, value);
    const wanted = operator === "=" || operator === "=~";
    return (labels) => matches(labels[label] ?? "") === wanted;
  });
  return (labels) => tests.every((test) => test(labels));
}

/** In time that is linear in the text, whatever the expression: it may come from anybody. */
function matchesWhole(label: string, expression: string): (text: string) => boolean {
  try {
    const compiled = RE2JS.compile(expression, RE2JS.DOTALL);
    return (text) => compiled.matches(text);
  } catch (error) {
    throw new TypeError(`the label "${label}" is matched by no regular expression (RE2): ${(error as Error).message}`);
  }
}
