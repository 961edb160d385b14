import type { AccessRule } from "../../../gen/retake/v1/access_rule_pb.js";
import type { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { anonymous, inProcess, type Principal } from "../principal.ts";

/** Rules, made ready to look callers up in. */
export type GivenRights = readonly GivenRight[];

interface GivenRight {
  readonly tenant: string;
  readonly subjects: ReadonlySet<string>;
  readonly groups: readonly string[];
  readonly level: AccessLevel;
  readonly methods: readonly string[];
}

/** The tenant of a rule that is for every tenant. */
export const everyTenant = "*";

export function givenRights(rules: Iterable<AccessRule>): GivenRights {
  return Array.from(rules, ({ tenant, subjects, groups, level, methods }) => ({
    tenant: tenant || anonymous.tenant,
    subjects: new Set(subjects),
    groups,
    level,
    methods,
  }));
}

/** A caller with what rules give it: the highest level of all, and every method. The caller itself when they give nothing. */
export function effectivePrincipal(principal: Principal, rights: GivenRights): Principal {
  let { level } = principal;
  let permissions: Set<string> | undefined;
  for (const right of rights) {
    if (!isFor(right, principal)) continue;
    // Their level is set in one place, and a group cannot lift those who have shown nothing.
    if (principal.authentication !== "none" && right.level > level) level = right.level;
    for (const method of right.methods) {
      permissions ??= new Set(principal.permissions);
      permissions.add(method);
    }
  }
  if (level === principal.level && permissions === undefined) return principal;
  return { ...principal, level, ...(permissions !== undefined && { permissions }) };
}

/** Whether credentials speak for a subject that stands for callers without any. */
export function isReserved({ authentication, subject }: Principal): boolean {
  return (
    authentication !== "none" &&
    authentication !== "in_process" &&
    (subject === anonymous.subject || subject === inProcess.subject)
  );
}

function isFor({ tenant, subjects, groups }: GivenRight, principal: Principal): boolean {
  if (tenant !== everyTenant && tenant !== principal.tenant) return false;
  return subjects.has(principal.subject) || groups.some((group) => principal.groups.includes(group));
}
