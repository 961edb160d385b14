import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Expression } from "../cel/expression.ts";
import type { Principal } from "../principal.ts";

/** What it takes to call a method. */
export interface Requirement {
  /** `package.Service/Method`. */
  readonly method: string;
  readonly workflow: boolean;
  /** Whether anybody says who may call it. */
  readonly declared: boolean;
  readonly min: AccessLevel;
  /** The caller must be in one of them, unless it is ADMIN; none means no group is needed. */
  readonly groups: readonly string[];
  readonly condition?: Expression<boolean>;
  /** Whether it is about more than one workflow, so that credentials limited to some cannot call it. */
  readonly wholeServer?: boolean;
  /** Whether the level is all that counts. */
  readonly levelOnly: boolean;
}

/** What a caller lacks: the level, a group, or credentials that are good for this workflow, or for the whole server. */
export type Lack = "level" | "group" | "credential" | "unlimited";

/** What a caller lacks for a method, its condition aside; undefined when nothing. */
export function lackOf(principal: Principal, requirement: Requirement): Lack | undefined {
  const { method, workflow, wholeServer, min, groups } = requirement;
  if (workflow && principal.workflows?.has(method) === false) return "credential";
  if (wholeServer && principal.workflows !== undefined) return "unlimited";
  if (principal.permissions?.has(method) === true) return undefined;
  if (principal.level < min) return "level";
  // Who may change every rule is not kept out by one.
  if (principal.level >= AccessLevel.ADMIN) return undefined;
  return groups.length === 0 || groups.some((group) => principal.groups.includes(group)) ? undefined : "group";
}
