import type { parse } from "@bufbuild/cel";

type Expr = NonNullable<ReturnType<typeof parse>["expr"]>;

/** Calls that do not look at all of their arguments. */
const lazy: ReadonlySet<string> = new Set(["_?_:_", "_&&_", "_||_"]);

/**
 * An expression, and each part of it that values may pass by, so that no mistake shows there. Within comprehensions none
 * is told: it would have the element as a variable.
 */
export function branchesOf(expr: Expr | undefined): readonly Expr[] {
  if (expr === undefined) return [];
  const branches: Expr[] = [expr];
  const visit = ({ exprKind: kind }: Expr): void => {
    if (kind.case === "selectExpr" && kind.value.operand) visit(kind.value.operand);
    if (kind.case === "listExpr") kind.value.elements.forEach(visit);
    if (kind.case !== "callExpr") return;
    const { function: name, target, args } = kind.value;
    if (lazy.has(name)) branches.push(...args);
    if (target) visit(target);
    args.forEach(visit);
  };
  visit(expr);
  return branches;
}
