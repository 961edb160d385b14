import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import type { ResolvedIdentity } from "../config/index.ts";
import { type Bindings, compileExpression, type Expression } from "./cel/expression.ts";
import { ExpressionError } from "./cel/expression-error.ts";
import { anonymous, inProcess, type Principal } from "./principal.ts";

/** Who somebody is, by what a credential says. */
export type Identity = Pick<Principal, "subject" | "tenant" | "level" | "groups">;

/** Whose runs are not those of somebody who is called the same. */
const reserved: ReadonlySet<string> = new Set([anonymous.subject, inProcess.subject]);

const longestName = 255;
const mostGroups = 1000;

const levels: ReadonlyMap<unknown, AccessLevel> = new Map([
  ["PUBLIC", AccessLevel.PUBLIC],
  ["AUTHENTICATED", AccessLevel.AUTHENTICATED],
  ["PRIVILEGED", AccessLevel.PRIVILEGED],
  ["ADMIN", AccessLevel.ADMIN],
]);

/**
 * Compiles a mapping of `variable` to an identity.
 *
 * @param options.subject the expression for the subject where the mapping has none
 * @returns throws ExpressionError when an expression has no value, or one that makes no sense
 * @throws ExpressionError
 */
export function compileIdentity(
  mapping: ResolvedIdentity,
  options: { readonly variable: string; readonly field: string; readonly subject: string },
): (bindings: Bindings) => Identity {
  const compile = (key: keyof ResolvedIdentity, source: string | undefined): Expression | undefined => {
    if (source === undefined) return undefined;
    return compileExpression(source, { variables: [options.variable], field: `${options.field}.${key}` });
  };
  const subject = compileExpression(mapping.subject ?? options.subject, {
    variables: [options.variable],
    field: `${options.field}.subject`,
  });
  const tenant = compile("tenant", mapping.tenant);
  const level = compile("level", mapping.level);
  const groups = compile("groups", mapping.groups);
  const refuse = (key: string, expression: Expression, expected: string): never => {
    throw new ExpressionError(
      `${options.field}.${key}`,
      `${JSON.stringify(expression.source)} does not come to ${expected}`,
    );
  };
  const name = (key: string, expression: Expression, bindings: Bindings): string => {
    const value = expression.evaluate(bindings);
    return isName(value) ? value : refuse(key, expression, `text of 1 to ${longestName} characters`);
  };
  const subjectOf = (bindings: Bindings): string => {
    const value = name("subject", subject, bindings);
    return reserved.has(value) ? refuse("subject", subject, `another name than ${[...reserved].join(" and ")}`) : value;
  };
  return (bindings) => ({
    subject: subjectOf(bindings),
    tenant: tenant === undefined ? "default" : name("tenant", tenant, bindings),
    level:
      level === undefined
        ? AccessLevel.AUTHENTICATED
        : (levels.get(level.evaluate(bindings)) ?? refuse("level", level, [...levels.keys()].join(", "))),
    groups:
      groups === undefined ? [] : (groupsOf(groups.evaluate(bindings)) ?? refuse("groups", groups, "a list of text")),
  });
}

/** They end up in logs and keys: nothing in them may look like something else there. */
function isName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.length <= longestName &&
    !/\p{Cc}/u.test(value) &&
    value.isWellFormed()
  );
}

function groupsOf(value: unknown): readonly string[] | undefined {
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  if (groups.length > mostGroups || !groups.every(isName)) return undefined;
  return [...new Set(groups)];
}
