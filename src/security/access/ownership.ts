import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { RunOwner } from "../../runs/index.ts";
import type { Principal } from "../principal.ts";

/** Whose things a caller sees: everybody's, those of a tenant, or those of one owner. */
export interface Reach {
  readonly tenant?: string;
  readonly owner?: RunOwner;
}

/** What counts of a caller. */
export type Reader = Pick<Principal, "level" | "tenant" | "subject">;

export function reachOf({ level, tenant, subject }: Reader): Reach {
  if (level >= AccessLevel.ADMIN) return {};
  return level >= AccessLevel.PRIVILEGED ? { tenant } : { owner: { tenant, subject } };
}

/** Whether a caller sees what belongs to somebody. */
export function sees({ level, tenant, subject }: Reader, owner: RunOwner | undefined): boolean {
  if (level >= AccessLevel.ADMIN) return true;
  if (owner?.tenant !== tenant) return false;
  return level >= AccessLevel.PRIVILEGED || owner.subject === subject;
}

/**
 * A caller as who reads artifacts. They say of no workflow that they are its, so that credentials limited to some reach those
 * of their own subject alone, whatever their level.
 */
export function artifactReader(principal: Principal): Reader {
  const { level, tenant, subject, workflows } = principal;
  if (workflows === undefined || level < AccessLevel.PRIVILEGED) return principal;
  return { level: AccessLevel.AUTHENTICATED, tenant, subject };
}

/** Whether a caller is one of those who have shown nothing and are nobody in particular: they all are one owner. */
export function isAnonymous({ authentication, level }: Principal): boolean {
  return authentication === "none" && level <= AccessLevel.PUBLIC;
}
