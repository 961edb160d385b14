import { compileExpression } from "../../security/index.ts";
import type { RuleExpression } from "./rule.ts";

const field = "expression";

type Trials = readonly Readonly<Record<string, number>>[];

/** The expression of a rule over its queries. @throws Error */
export function compileRuleExpression(source: string, names: readonly string[]): RuleExpression {
  return compileExpression(source, { variables: names, field });
}

/** Finds what never comes to a number: it would be a rule without alerts. @throws Error */
export function tryRuleExpression(source: string, names: readonly string[]): void {
  const trials = trialsFor(names);
  const expression = compiled(source, names, trials);
  for (const bindings of trials) {
    const kind = kindOf(expression, bindings);
    if (kind === undefined) continue;
    const example = `${names[0]} > 10.0 ? ${names[0]} : 0.0`;
    throw new TypeError(`${field}: ${source} comes to ${kind}, and has to come to a number or a bool: ${example}`);
  }
}

function compiled(source: string, names: readonly string[], trials: Trials) {
  // What is no CEL at all is told as it is.
  compileRuleExpression(source, names);
  try {
    return compileExpression(source, { variables: names, field, trials });
  } catch (error) {
    const hint = `queries are doubles, and so are numbers beside them: ${names[0]} + 1.0, not ${names[0]} + 1`;
    throw new TypeError(`${(error as Error).message} (${hint})`);
  }
}

/** Several, since what an expression comes to may hang on the numbers, and on which of them is greater. */
function trialsFor(names: readonly string[]): Trials {
  const last = names.length - 1;
  const numbers: readonly ((index: number) => number)[] = [
    ...[() => 1, () => 0, () => -1, () => 0.25, () => 1_000_000],
    ...[(index: number) => index + 1, (index: number) => last - index + 1],
  ];
  return numbers.map((of) => Object.fromEntries(names.map((name, index) => [name, of(index)])));
}

/** What an expression comes to that is neither a number nor a bool. Some numbers have no value: one divides by them. */
function kindOf({ evaluate }: RuleExpression, bindings: Readonly<Record<string, number>>): string | undefined {
  try {
    const value = evaluate(bindings);
    if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return undefined;
    if (typeof value === "string") return "a string";
    if (Array.isArray(value)) return "a list";
    return value === null ? "null" : "no number";
  } catch {
    return undefined;
  }
}
