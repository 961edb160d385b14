import type { CelEnv, parse } from "@bufbuild/cel";
import { suggestion } from "../../nearest-name.ts";

type Expr = ReturnType<typeof parse>["expr"];

/** Names that CEL itself gives a meaning. */
const typeNames = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/** How deep `exists`, `all`, `map` and `filter` may stand in each other: each level multiplies the cost by a list's length. */
const deepestComprehension = 2;

/** Operators, which CEL calls by names that no source can have. */
const isOperator = (name: string): boolean => !/^[A-Za-z]/.test(name);

/**
 * What can be told to be wrong with an expression before it is evaluated; undefined when nothing is. The library finds
 * unknown names only when it comes to them.
 */
export function staticProblem(expr: Expr, variables: readonly string[], funcs: CelEnv["funcs"]): string | undefined {
  const problemIn = (each: Expr | undefined, known: readonly string[], depth: number): string | undefined => {
    const all = (parts: readonly (Expr | undefined)[]): string | undefined => {
      for (const part of parts) {
        const problem = problemIn(part, known, depth);
        if (problem !== undefined) return problem;
      }
      return undefined;
    };
    const kind = each?.exprKind;
    switch (kind?.case) {
      case "identExpr": {
        const { name } = kind.value;
        if (known.includes(name) || typeNames.includes(name)) return undefined;
        const guess = suggestion(name, [...variables]);
        return `there is no variable ${name}.${guess || ` There are: ${variables.join(", ")}`}`;
      }
      case "selectExpr":
        return problemIn(kind.value.operand, known, depth);
      case "callExpr": {
        const { function: name, target, args } = kind.value;
        if (!isOperator(name) && funcs.find(name) === undefined) {
          const names = [...funcs].map((func) => func.name).filter((other) => !isOperator(other));
          return `there is no function ${name}.${suggestion(name, names)}`;
        }
        return all([target, ...args]);
      }
      case "listExpr":
        return all(kind.value.elements);
      case "structExpr":
        return all(
          kind.value.entries.flatMap(({ keyKind, value }) => [
            keyKind.case === "mapKey" ? keyKind.value : undefined,
            value,
          ]),
        );
      case "comprehensionExpr": {
        const { iterRange, accuInit, iterVar, iterVar2, accuVar, loopCondition, loopStep, result } = kind.value;
        if (depth === deepestComprehension) {
          return `exists, all, map and filter stand in each other more than ${deepestComprehension} deep`;
        }
        const within = [...known, iterVar, iterVar2, accuVar];
        return (
          all([iterRange, accuInit]) ??
          problemIn(loopCondition, within, depth + 1) ??
          problemIn(loopStep, within, depth + 1) ??
          problemIn(result, within, depth)
        );
      }
      default:
        return undefined;
    }
  };
  return problemIn(expr, variables, 0);
}
