import { type AccessRule, AccessRuleSource, type NamedAccessRule } from "../../../gen/retake/v1/access_rule_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { plainText } from "./plain-text.ts";
import { showTime, timestampMs } from "./times.ts";

/** Whom a rule is for: "tenant/alice, group ops". */
export function ruleFor({ tenant, subjects, groups }: AccessRule): string {
  const of = tenant === "*" ? "every tenant" : tenant === "" || tenant === "default" ? "" : `tenant ${tenant}`;
  const who = [...subjects, ...groups.map((group) => `group ${group}`)].join(", ");
  return plainText(of === "" ? who : `${who} (${of})`);
}

/** What a rule gives: "PRIVILEGED, retake.v1.AdminService/ForceBreaker". */
export function ruleGives({ level, methods }: AccessRule): string {
  return plainText([...(level === 0 ? [] : [AccessLevel[level] ?? ""]), ...methods].join(", "));
}

/** A rule for people. */
export function ruleLines({ name, rule, source, revision, setBy, setTime, reason }: NamedAccessRule): string[] {
  const time = setTime === undefined ? "" : `, ${showTime(timestampMs(setTime))}`;
  return [
    `Rule      ${plainText(name)}`,
    ...(rule === undefined ? [] : [`For       ${ruleFor(rule)}`, `Gives     ${ruleGives(rule)}`]),
    ...(source === AccessRuleSource.CONFIG
      ? ["Set       in the configuration"]
      : [`Revision  ${revision}`, `Set       by ${plainText(setBy)}${time}`]),
    ...(reason === "" ? [] : [`Reason    ${plainText(reason)}`]),
  ];
}
