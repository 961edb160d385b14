import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import { builtInRules } from "../../../src/monitoring/alerts/built-in-rules.ts";
import { rulePromql } from "../../../src/monitoring/alerts/promql.ts";
import { resolveRule } from "../../../src/monitoring/alerts/resolve-rule.ts";

describe("a built-in rule", () => {
  const validator = createValidator();

  it.each(builtInRules().map((rule) => [rule.name, rule] as const))("%s is a rule, also for Prometheus", (_, rule) => {
    expect(validator.validate(AlertRuleSchema, rule)).toMatchObject({ kind: "valid" });
    const resolved = resolveRule(rule);
    expect(rulePromql(resolved)).toHaveLength(Object.keys(resolved.thresholds).length);
    expect(rule.annotations["summary"]).toMatch(/\w/);
  });
});
