import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AlertRuleEventSchema } from "../../../gen/retake/v1/alert_event_pb.js";
import { type AlertRule, AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import { AlertRules, configuredRules } from "../../../src/monitoring/alerts/alert-rules.ts";
import { StoredSettings, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import type { RuleInit } from "./rules.ts";

function rule(init: Partial<RuleInit> = {}): AlertRule {
  return create(AlertRuleSchema, {
    ...{ name: "Deep", queries: { depth: { metric: "depth" } }, warning: { at: 10 } },
    ...(init as object),
  });
}

const none = { rules: [], slos: [], disabledRules: [] };

function setUp() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const open = async (config: Parameters<AlertRules["configure"]>[0] = none): Promise<AlertRules> => {
    const rules = new AlertRules({ clock, journal, log: silentLogger });
    await rules.open();
    rules.configure(config);
    return rules;
  };
  return { clock, journal, open };
}

describe("AlertRules", () => {
  it("takes a configured rule in place of a built-in one, and one that was set in place of both", async () => {
    const { open } = setUp();
    const own = rule({ name: "RetakeDiskSpace" });
    const rules = await open({ ...none, rules: [own] });
    expect(rules.get("RetakeDiskSpace")).toMatchObject({ origin: "configuration", message: own });
    await rules.set(rule({ name: "RetakeDiskSpace", warning: { at: 11 } }), "ada");
    expect(rules.get("RetakeDiskSpace")).toMatchObject({ origin: "set", message: { warning: { at: 11 } } });
    expect(await rules.delete("RetakeDiskSpace", "ada")).toBe(true);
    expect(rules.get("RetakeDiskSpace")?.origin).toBe("configuration");
    expect(await rules.delete("RetakeDiskSpace", "ada")).toBe(false);
  });

  it("remembers what was set over a restart, and what was taken back", async () => {
    const { open } = setUp();
    const before = await open();
    await Promise.all([
      before.set(rule(), "ada"),
      before.set(rule({ name: "Long" }), "ada"),
      before.delete("Deep", "ada"),
    ]);
    const after = await open();
    expect(after.list().flatMap(({ origin, message }) => (origin === "set" ? [message.name] : []))).toEqual(["Long"]);
    await after.set(rule(), "ada");
    expect((await open()).get("Deep")?.origin).toBe("set");
  });

  it("evaluates no rule that is disabled or left out", async () => {
    const { open } = setUp();
    const rules = await open({ ...none, rules: [rule({ disabled: true })], disabledRules: ["RetakeDeadMan"] });
    const names = rules.active.map(({ name }) => name);
    expect(rules.get("Deep")?.message.disabled).toBe(true);
    expect(names).not.toContain("Deep");
    expect(names).not.toContain("RetakeDeadMan");
    expect(names).toContain("RetakeErrorRate");
  });
});

describe("a rule that makes no sense to people", () => {
  it.each([
    [{ annotations: { summary: "{{ .Nope }}" } }, /annotations\.summary: "\{\{ \.Nope \}\}" is no placeholder/],
    [{ labels: { team: "{{ $labels.queue }}" } }, /labels\.team: labels are no templates/],
    [{ warning: { at: 5 }, critical: { at: 2 } }, /critical: 2 is below the warning's 5/],
    [{ comparison: 2, warning: { at: 2 }, critical: { at: 5 } }, /critical: 5 is above the warning's 2/],
    [{ warning: { at: Number.POSITIVE_INFINITY } }, /warning: Infinity is no threshold/],
    [{ critical: { at: 20, clear: Number.NEGATIVE_INFINITY } }, /critical: -Infinity is no threshold/],
    [{ expression: "depth + 1" }, /expression: "depth \+ 1" .*'_\+_'.*\(double, int\).*depth \+ 1\.0, not depth \+ 1/],
    // A branch that no number need come to before it matters.
    [{ expression: "depth > 123.0 && depth < 124.0 ? depth * 2 : depth" }, /'_\*_'/],
    [{ expression: "depth > 5.0 ? depth : 'none'" }, /expression: .* comes to a string/],
    [{ expression: "'abc'" }, /comes to a string, and has to come to a number or a bool: depth > 10\.0/],
    [{ expression: "[depth]" }, /comes to a list/],
  ] as [Partial<RuleInit>, RegExp][])("is refused where it is set or configured: %j", async (init, problem) => {
    const rules = await setUp().open();
    expect(() => rules.set(rule(init), "ada")).toThrow(problem);
    const { problems } = configuredRules({ ...none, rules: [rule(init)] });
    expect(problems).toEqual([{ field: "monitoring.rules[0]", message: expect.stringMatching(problem) }]);
  });
});

it("takes a critical threshold on either side that is right, or where the warning is", async () => {
  const rules = await setUp().open();
  for (const [comparison, at] of [[1, 20] as const, [1, 10] as const, [2, 5] as const]) {
    await expect(rules.set(rule({ comparison, critical: { at } }), "ada")).resolves.toBeDefined();
  }
});

it.each(["depth > 5", "1 / int(depth)", "depth > 0.0 && depth < 5.0", "[depth].map(d, d * 2.0)[0]", "7"])(
  "takes what comes to a number or a bool: %s",
  async (expression) => {
    const rules = await setUp().open();
    expect((await rules.set(rule({ expression }), "ada")).rule?.expression?.source).toBe(expression);
  },
);

it.each([
  { annotations: { summary: "{{ .Nope }}" } },
  { critical: { at: 5 } },
  { critical: { at: Number.POSITIVE_INFINITY } },
  { expression: "depth + 1" },
])("goes on with a rule that an earlier version took, and would be refused today: %j", async (init) => {
  const { clock, journal, open } = setUp();
  const stored = new StoredSettings({
    ...{ clock, journal, prefix: "alert-rules/", schema: AlertRuleEventSchema },
    takesBack: () => false,
    settingOf: () => true,
  });
  await stored.append("Deep", { name: "Deep", rule: rule(init), requestedBy: "ada" });
  const rules = await open();
  expect(() => rules.set(rule(init), "ada")).toThrow(TypeError);
  expect(rules.active.find(({ name }) => name === "Deep")?.thresholds.warning).toEqual({ at: 10, clear: 10 });
});

describe("configuredRules", () => {
  it("names the rule that makes no sense, and the field that it stands in", () => {
    const { problems } = configuredRules({
      rules: [rule(), rule({ name: "Odd", expression: "depth >" })],
      slos: [],
      disabledRules: ["RetakeDeadmen"],
    });
    expect(problems.map(({ field }) => field)).toEqual(["monitoring.disabled_rules[0]", "monitoring.rules[1]"]);
    expect(problems[0]?.message).toContain("RetakeDeadMan");
    expect(problems[1]?.message).toContain("the rule Odd: ");
  });

  it("refuses a promise about a time that runs are not counted by, and names those that they are", () => {
    const slo = (seconds: number) => ({ workflow: `a.v1.B/C${seconds}`, latency: { seconds, objective: 0.95 } });
    const { problems } = configuredRules({ ...none, slos: [slo(0.005), slo(2.5), slo(3), slo(86_400)] });
    expect(problems).toEqual([
      {
        field: "monitoring.slos[2].latency.threshold",
        message: expect.stringMatching(/by 3s.* 2\.5s, 5s, .*86400s$/),
      },
    ]);
  });

  it("makes rules of promises, each with a name of its own", () => {
    const slos = ["a.v1.B/C", "a.v1_B/C"].map((workflow) => ({ workflow, availability: 0.99 }));
    const { rules, problems } = configuredRules({ ...none, slos });
    expect(problems).toEqual([]);
    expect(rules.get("SloAvailabilityFast_a_v1_B_C")?.origin).toBe("configuration");
    const fast = [...rules.keys()].filter((name) => name.startsWith("SloAvailabilityFast"));
    expect(fast).toEqual(["SloAvailabilityFast_a_v1_B_C", expect.stringMatching(/^\w+_a_v1_B_C_[0-9a-f]{8}$/)]);
  });

  it("refuses a promise whose rule has the name of one that is configured", () => {
    const slos = [{ workflow: "a.v1.B/C", availability: 0.99 }];
    const { problems } = configuredRules({ ...none, slos, rules: [rule({ name: "SloAvailabilityFast_a_v1_B_C" })] });
    expect(problems.map(({ field }) => field)).toEqual(["monitoring.slos[0].workflow"]);
  });
});
