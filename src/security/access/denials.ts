import { Code, type ConnectError } from "@connectrpc/connect";
import type { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { createDenial } from "../denial.ts";
import type { Principal } from "../principal.ts";
import { levelName } from "./level-name.ts";
import type { Lack, Requirement } from "./requirement.ts";

/** UNAUTHENTICATED for who has shown nothing and could do it with credentials, else PERMISSION_DENIED, in words. */
export function denied(principal: Principal, requirement: Requirement, lack: Lack | "condition"): ConnectError {
  const { method, min, declared } = requirement;
  const needs = needsOf(principal, requirement, lack);
  if (principal.authentication === "none" && lack !== "condition") {
    return createDenial(
      Code.Unauthenticated,
      "CREDENTIALS_MISSING",
      `${method} ${needs}, and this call shows no credentials: send an API key or a token, as "authorization: Bearer ..."`,
      { metadata: { method, needs: levelName(min) } },
    );
  }
  const undeclared = declared
    ? ""
    : "; no access is declared for it, so only ADMIN may call it: give its policy one, access: { min: ACCESS_LEVEL_AUTHENTICATED }";
  return createDenial(
    Code.PermissionDenied,
    reasons[lack],
    `${method} ${needs}; you are ${whoIs(principal)}${lack === "level" ? undeclared : ""}`,
    { metadata: { method, needs: levelName(min) } },
  );
}

const reasons: Readonly<Record<Lack | "condition", string>> = {
  level: "LEVEL_TOO_LOW",
  group: "GROUP_MISSING",
  credential: "CREDENTIALS_LIMITED",
  unlimited: "CREDENTIALS_LIMITED",
  condition: "CONDITION_FALSE",
};

function needsOf(principal: Principal, { min, groups }: Requirement, lack: Lack | "condition"): string {
  switch (lack) {
    case "level":
      return `needs the level ${levelName(min)}`;
    case "group":
      return groups.length === 1 ? `needs the group ${groups[0]}` : `needs one of the groups ${groups.join(", ")}`;
    case "credential":
      return `is none of the workflows that your ${kindOf(principal)} is limited to`;
    case "unlimited":
      return `is about more than the workflows that your ${kindOf(principal)} is limited to, and takes credentials without such a limit`;
    case "condition":
      return "is called under the access condition of its policy, which this call does not meet";
  }
}

function kindOf({ authentication }: Principal): string {
  return authentication === "jwt" ? "token" : "key";
}

/** "AUTHENTICATED as studio/alice". */
export function whoIs({ level, tenant, subject }: Principal): string {
  return `${levelName(level)} as ${tenant}/${subject}`;
}

/** The subject of a caller without credentials must be nobody else's: what belongs to one would belong to the other. */
export function reservedSubject({ subject }: Principal): ConnectError {
  return createDenial(
    Code.PermissionDenied,
    "RESERVED_SUBJECT",
    `the subject ${JSON.stringify(subject)} stands for callers without credentials: give these credentials another one`,
  );
}

/** A priority above a caller's means. */
export function priorityDenied(principal: Principal, priority: number, min: AccessLevel): ConnectError {
  const needs = `the priority ${priority} needs the level ${levelName(min)}`;
  return principal.authentication === "none"
    ? createDenial(Code.Unauthenticated, "CREDENTIALS_MISSING", `${needs}, and this call shows no credentials`)
    : createDenial(Code.PermissionDenied, "PRIORITY_TOO_HIGH", `${needs}; you are ${whoIs(principal)}`);
}
