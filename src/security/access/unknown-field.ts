import { parse } from "@bufbuild/cel";
import type { DescMessage } from "@bufbuild/protobuf";
import { suggestion } from "../../nearest-name.ts";

type Expr = ReturnType<typeof parse>["expr"];

/**
 * A field that an expression takes from a message that does not have it, in a sentence; undefined where there is none.
 * Followed are chains of fields that begin with a variable, as `request.size.width`, and not what passes through lists,
 * maps and functions.
 *
 * @param messages variables that are messages
 * @param maps variables that are maps, with their keys
 */
export function unknownField(
  source: string,
  messages: ReadonlyMap<string, DescMessage>,
  maps: ReadonlyMap<string, readonly string[]>,
): string | undefined {
  let problem: string | undefined;
  /** The type of a part, where it is a message. */
  const visit = (expr: Expr | undefined): DescMessage | undefined => {
    const kind = expr?.exprKind;
    switch (kind?.case) {
      case "identExpr":
        return messages.get(kind.value.name);
      case "selectExpr": {
        const { operand, field } = kind.value;
        const within = visit(operand);
        if (operand?.exprKind.case === "identExpr") {
          const keys = maps.get(operand.exprKind.value.name);
          if (keys?.includes(field) === false) {
            problem ??= `${operand.exprKind.value.name} has no ${field}${suggestion(field, keys)}`;
          }
        }
        if (within === undefined || within.typeName.startsWith("google.protobuf.")) return undefined;
        const found = within.fields.find(({ name }) => name === field);
        if (found === undefined) {
          const names = within.fields.map(({ name }) => name);
          problem ??= `${within.typeName} has no field ${field}${suggestion(field, names)}`;
        }
        return found?.fieldKind === "message" ? found.message : undefined;
      }
      case "callExpr":
        visit(kind.value.target);
        kind.value.args.forEach(visit);
        return undefined;
      case "listExpr":
        kind.value.elements.forEach(visit);
        return undefined;
      case "structExpr":
        for (const { keyKind, value } of kind.value.entries) {
          if (keyKind.case === "mapKey") visit(keyKind.value);
          visit(value);
        }
        return undefined;
      case "comprehensionExpr": {
        const { iterRange, accuInit, loopCondition, loopStep, result } = kind.value;
        for (const part of [iterRange, accuInit, loopCondition, loopStep, result]) visit(part);
        return undefined;
      }
      default:
        return undefined;
    }
  };
  visit(parse(source).expr);
  return problem;
}
