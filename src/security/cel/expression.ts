import {
  type CelInput,
  CelScalar,
  celEnv,
  isCelError,
  isCelList,
  isCelMap,
  isCelUint,
  parse,
  plan,
} from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import type { Registry } from "@bufbuild/protobuf";
import { branchesOf } from "./branches.ts";
import { ExpressionError } from "./expression-error.ts";
import { staticProblem } from "./static-problem.ts";

/** What stands for a variable while an expression is evaluated: plain values, lists, maps, and messages of the registry. */
export type Bindings = Readonly<Record<string, CelInput>>;

/** A value that an expression has come to: integers are bigints, lists are arrays, maps are Maps. */
export type ExpressionValue = unknown;

/** A CEL expression, compiled. */
export interface Expression<Value = ExpressionValue> {
  readonly source: string;
  /** @throws ExpressionError when it has no value for these, a claim that is missing for instance */
  evaluate(bindings: Bindings): Value;
}

export interface ExpressionOptions {
  /** The names that it may use, with values of any type. */
  readonly variables: readonly string[];
  /** The key that it stands under, for the messages of errors. */
  readonly field: string;
  /** The types of messages among the values. */
  readonly registry?: Registry;
  /** Values as they will come: what has a value for none of them, wholly or in a branch, is no expression for them. */
  readonly trials?: readonly Bindings[];
}

export interface ConditionOptions extends ExpressionOptions {
  /** Values for which it may be tried: what it comes to then has to be true or false; it need not come to anything. */
  readonly samples?: readonly Bindings[];
}

/** In characters. Whoever needs more is better off with claims, or contracts, that say what is meant. */
const longestSource = 4096;

/**
 * Compiles a CEL expression, with the strings extension. Names that do not exist are found here, not when a call comes
 * that needs them. Time to evaluate is bounded by the source and the size of the values: regular expressions are linear,
 * and comprehensions cannot be nested deeply.
 *
 * @throws ExpressionError
 */
export function compileExpression(source: string, options: ExpressionOptions): Expression {
  const { variables, field, registry, trials = [] } = options;
  if (source.length > longestSource) {
    throw new ExpressionError(field, `the expression has ${source.length} characters; ${longestSource} are allowed`);
  }
  const env = celEnv({
    variables: Object.fromEntries(variables.map((name) => [name, CelScalar.DYN])),
    funcs: [...strings],
    ...(registry && { registry }),
  });
  const evaluatePlan = ((): ((bindings: Record<string, CelInput>) => unknown) => {
    try {
      const parsed = parse(source);
      const problem = staticProblem(parsed.expr, variables, env.funcs);
      if (problem !== undefined) throw new Error(problem);
      for (const branch of trials.length === 0 ? [] : branchesOf(parsed.expr)) {
        const evaluateBranch = plan(env, branch);
        const results = trials.map((bindings) => evaluateBranch(bindings as Record<string, CelInput>));
        const [result] = results;
        if (isCelError(result) && results.every(isCelError)) throw new Error(result.message);
      }
      return plan(env, parsed);
    } catch (error) {
      throw new ExpressionError(field, `${quoted(source)} is no CEL expression for this: ${messageOf(error)}`);
    }
  })();
  return {
    source,
    evaluate(bindings) {
      const value = evaluatePlan(bindings as Record<string, CelInput>);
      if (isCelError(value)) {
        throw new ExpressionError(field, `${quoted(source)} has no value: ${value.message}`, { cause: value });
      }
      return plain(value);
    },
  };
}

/**
 * The same for a yes or no: an expression that comes to anything else, or to nothing, throws. One that always comes to
 * something else is found here.
 *
 * @throws ExpressionError
 */
export function compileCondition(source: string, options: ConditionOptions): Expression<boolean> {
  const expression = compileExpression(source, options);
  const condition: Expression<boolean> = {
    source,
    evaluate(bindings) {
      const value = expression.evaluate(bindings);
      if (typeof value === "boolean") return value;
      throw new ExpressionError(options.field, `${quoted(source)} is neither true nor false`);
    },
  };
  // Without any value it has one only if it always has that.
  for (const bindings of [{}, ...(options.samples ?? [])]) {
    if (hasValue(expression, bindings)) condition.evaluate(bindings);
  }
  return condition;
}

function hasValue(expression: Expression, bindings: Bindings): boolean {
  try {
    expression.evaluate(bindings);
    return true;
  } catch {
    return false;
  }
}

function plain(value: unknown): ExpressionValue {
  if (isCelList(value)) return Array.from(value, plain);
  if (isCelMap(value)) return new Map(Array.from(value, ([key, each]) => [plain(key), plain(each)]));
  return isCelUint(value) ? value.value : value;
}

const longestQuote = 200;

function quoted(source: string): string {
  return JSON.stringify(source.length > longestQuote ? `${source.slice(0, longestQuote).toWellFormed()}…` : source);
}

/** The parser begins with a file name that nobody has given. */
function messageOf(error: unknown): string {
  return (error as Error).message.replace(/^<input>:(\d+):(\d+): /, "line $1, column $2: ");
}
