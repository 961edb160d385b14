import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AccessRuleSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { effectivePrincipal, givenRights } from "../../../src/security/access/given-rights.ts";
import { anonymous, type Principal } from "../../../src/security/index.ts";

const { AUTHENTICATED, PRIVILEGED, ADMIN } = AccessLevel;
const alice: Principal = {
  tenant: "default",
  subject: "alice",
  level: AUTHENTICATED,
  groups: ["film"],
  authentication: "jwt",
};

const given = (principal: Principal, ...rules: MessageInitShape<typeof AccessRuleSchema>[]) =>
  effectivePrincipal(principal, givenRights(rules.map((rule) => create(AccessRuleSchema, rule))));

describe("what rules give", () => {
  it("is nothing to those whom none is for, who stay the very same", () => {
    const rule = { subjects: ["bob"], groups: ["sound"], level: ADMIN };
    expect(given(alice, rule)).toBe(alice);
    expect(given({ ...alice, tenant: "other" }, { subjects: ["alice"], level: ADMIN })).toMatchObject({
      level: AUTHENTICATED,
    });
  });

  it("is the highest level of all, and never a lower one than credentials say", () => {
    const rules = [
      { subjects: ["alice"], level: PRIVILEGED },
      { groups: ["film"], level: ADMIN },
      { subjects: ["alice"], level: AccessLevel.PUBLIC },
    ];
    expect(given(alice, ...rules).level).toBe(ADMIN);
    expect(given(alice, ...rules.slice(2)).level).toBe(AUTHENTICATED);
  });

  it("is every method of every rule", () => {
    const { permissions } = given(
      alice,
      { tenant: "*", subjects: ["alice"], methods: ["a.v1.A/A", "a.v1.A/B"] },
      { groups: ["film", "sound"], methods: ["a.v1.A/C"] },
      { groups: ["sound"], methods: ["a.v1.A/D"] },
    );
    expect([...(permissions ?? [])]).toEqual(["a.v1.A/A", "a.v1.A/B", "a.v1.A/C"]);
  });

  it("is no level to callers without credentials, even where a group or a tenant would be theirs", () => {
    const rule = { subjects: ["anonymous"], level: ADMIN, methods: ["a.v1.A/A"] };
    expect(given(anonymous, rule)).toEqual({ ...anonymous, permissions: new Set(["a.v1.A/A"]) });
  });
});
