import { create } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  type AccessRule,
  AccessRuleSource,
  ListAccessRulesRequestSchema,
  type NamedAccessRule,
  NamedAccessRuleSchema,
} from "../../../gen/retake/v1/access_rule_pb.js";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { createError, timestampFromMs } from "../../runs/index.ts";
import { principalKey, type RuleInForce } from "../../security/index.ts";
import { peerKey } from "../../transport/index.ts";
import { callFields } from "../call-metadata.ts";
import type { Engine } from "../engine.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";

const defaultPage = 100;

type AccessRuleAdmin = Pick<ServiceImpl<typeof AdminService>, "listAccessRules" | "setAccessRule" | "deleteAccessRule">;

/** The rules that give callers more than their credentials say. */
export function createAccessRuleAdmin({ accessRules }: Engine): AccessRuleAdmin {
  return {
    listAccessRules({ name, pageSize, pageToken }) {
      const scope = pageScope(ListAccessRulesRequestSchema, create(ListAccessRulesRequestSchema, { name }));
      const limit = pageSize || defaultPage;
      const after = pageToken === "" ? "" : String(parsePageToken(pageToken, scope));
      const rest = accessRules.list().filter((each) => cursor(each) > after && (name === "" || each.name === name));
      const page = rest.slice(0, limit);
      const last = page.at(-1);
      return {
        rules: page.map(shown),
        nextPageToken: rest.length > limit && last !== undefined ? createPageToken(cursor(last), scope) : "",
      };
    },

    async setAccessRule({ name, rule, expectedRevision, reason }, context) {
      const change = { name, reason, ...callerOf(context), expectedRevision: revision(expectedRevision) };
      return { rule: shown(await accessRules.set(change, given(rule))) };
    },

    async deleteAccessRule({ name, expectedRevision, reason }, context) {
      const change = { name, reason, ...callerOf(context), expectedRevision: revision(expectedRevision) };
      return { rule: shown(await accessRules.delete(change)) };
    },
  };
}

/** A rule of the configuration and one of operators may have one name, after the configuration has changed. */
function cursor(rule: RuleInForce): string {
  return `${rule.name} ${rule.revision === 0 ? 0 : 1}`;
}

function callerOf(context: HandlerContext) {
  const { values } = context;
  const source = values.get(peerKey)?.address ?? "";
  return { principal: values.get(principalKey), source, call: callFields(context) };
}

function revision(expected: bigint | undefined): number | undefined {
  return expected === undefined ? undefined : Number(expected);
}

function given(rule: AccessRule | undefined): AccessRule {
  if (rule === undefined) {
    throw createError(Code.InvalidArgument, "RULE_MISSING", "rule is required: whom it is for, and what it gives");
  }
  return rule;
}

function shown(inForce: RuleInForce): NamedAccessRule {
  const { name, rule, revision } = inForce;
  const init = { name, rule, revision: BigInt(revision) };
  if (!("setMs" in inForce)) {
    return create(NamedAccessRuleSchema, { ...init, source: AccessRuleSource.CONFIG });
  }
  return create(NamedAccessRuleSchema, {
    ...init,
    source: AccessRuleSource.OPERATOR,
    setBy: inForce.setBy,
    setTime: timestampFromMs(inForce.setMs),
    reason: inForce.reason,
  });
}
