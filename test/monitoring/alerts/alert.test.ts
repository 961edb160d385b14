import { describe, expect, it } from "vitest";
import { type AlertChange, RuleAlerts } from "../../../src/monitoring/alerts/alert.ts";
import { evaluated, type RuleInit, rule, TestGauges } from "./rules.ts";

const step = 10_000;

/** What moves while the gauge of one queue is at these values, one each ten seconds; undefined where there is no sample. */
function moves(init: Partial<RuleInit>, values: readonly (number | undefined)[]): string[][] {
  const alerts = new RuleAlerts(rule(init));
  const gauges = new TestGauges();
  return values.map((value, i) => {
    if (value !== undefined) gauges.set("depth", i * step, value);
    return evaluated(alerts, gauges, i * step).changes.map(said);
  });
}

function said({ before, after, alert }: AlertChange): string {
  const from = before.state === "inactive" ? "" : `${before.state} ${before.severity} `;
  const cause = alert.cause === "threshold" ? "" : `${alert.cause}: `;
  return `${cause}${from}> ${after.state === "inactive" ? "inactive" : `${after.state} ${after.severity}`}`;
}

describe("an alert rule", () => {
  it("has 500 alerts at once, and tells how many there is no room for; those that are over make room", () => {
    const alerts = new RuleAlerts(rule());
    const gauges = new TestGauges();
    const movedTo = (index: number, values: (queue: number) => number) => {
      for (let queue = 0; queue < 600; queue++) gauges.set("depth", index * step, values(queue), `${queue}`);
      const { changes, leftOut } = evaluated(alerts, gauges, index * step);
      return [changes.length, leftOut, alerts.alerts.size];
    };
    expect(movedTo(0, () => 15)).toEqual([500, 100, 500]);
    expect(movedTo(1, () => 15)).toEqual([0, 100, 500]);
    expect(movedTo(2, (queue) => (queue < 100 ? 5 : 15))).toEqual([100, 100, 500]);
    expect(movedTo(3, (queue) => (queue < 100 ? 5 : 15))).toEqual([100, 0, 600]);
  });

  it("has one alert, whose severity moves", () => {
    expect(moves({ critical: { at: 20 } }, [5, 15, 25, 15, 5])).toEqual([
      [],
      ["> firing warning"],
      ["firing warning > firing critical"],
      ["firing critical > firing warning"],
      ["firing warning > resolved critical"],
    ]);
  });

  it("fires on until the number is past the threshold for being well again", () => {
    expect(moves({ warning: { at: 10, clear: 6 } }, [8, 11, 8, 6, 8])).toEqual([
      [],
      ["> firing warning"],
      [],
      ["firing warning > resolved warning"],
      [],
    ]);
  });

  it("looks at what is too little, too", () => {
    const below = { comparison: 2, warning: { at: 10, clear: 12 } } as const;
    expect(moves(below, [11, 9, 11, 12])).toEqual([
      [],
      ["> firing warning"],
      [],
      ["firing warning > resolved warning"],
    ]);
  });

  it("is well without samples, unless it is told otherwise", () => {
    const gone = [15, ...Array.from({ length: 31 }, () => undefined)];
    expect(moves({}, gone).at(-2)).toEqual(["firing warning > resolved warning"]);
    expect(moves({ noData: 3 }, gone).flat()).toEqual(["> firing warning"]);
    expect(moves({ noData: 2, for: { seconds: 10n } }, [undefined, undefined, 5])).toEqual([
      ["no_data: > pending warning"],
      ["no_data: pending warning > firing warning"],
      ["no_data: firing warning > resolved warning"],
    ]);
  });

  it("has no number that fires on once an alert says that there are no samples", () => {
    const gone = Array.from({ length: 31 }, () => undefined);
    expect(moves({ noData: 2 }, [15, ...gone]).flat()).toEqual([
      "> firing warning",
      "firing warning > resolved warning",
      "no_data: > firing warning",
    ]);
    expect(moves({ noData: 2, for: { seconds: 60n } }, [15, ...gone, 15]).at(-1)).toContain(
      "resolved warning > pending warning",
    );
  });

  it("says that its expression has no value, and is well, fires, or stays as it was", () => {
    const expression = "depth > 3.0 ? depth : double(1 / int(depth - 2.0))";
    const alerts = new RuleAlerts(rule({ expression }));
    const gauges = new TestGauges();
    gauges.set("depth", 0, 2);
    const { changes, error } = evaluated(alerts, gauges, 0);
    expect(changes).toEqual([]);
    expect((error as Error).message).toContain("expression");
    expect(moves({ expression, onError: 2 }, [15, 2, 15])).toEqual([
      ["> firing warning"],
      ["error: > firing warning"],
      ["error: firing warning > resolved warning"],
    ]);
    expect(moves({ expression, onError: 3 }, [15, 2, 2, 5])).toEqual([
      ...[["> firing warning"], [], [], ["firing warning > resolved warning"]],
    ]);
  });

  it.each([
    { onError: 1, next: ["a resolved"] },
    { onError: 2, next: [" error firing"] },
    { onError: 3, next: [] },
  ])("goes on for the other groups where one has no value: on_error $onError", ({ onError, next }) => {
    const alerts = new RuleAlerts(rule({ expression: "depth > 3.0 ? depth : double(1 / int(depth - 2.0))", onError }));
    const gauges = new TestGauges();
    const at = (timeMs: number, a: number, b: number): string[] => {
      gauges.set("depth", timeMs, a, "a");
      gauges.set("depth", timeMs, b, "b");
      const { changes } = evaluated(alerts, gauges, timeMs);
      return changes.map(
        ({ alert, after }) => `${alert.labels["queue"] ?? ""} ${alert.cause === "error" ? "error " : ""}${after.state}`,
      );
    };
    expect(at(0, 15, 15)).toEqual(["a firing", "b firing"]);
    expect(at(step, 2, 15)).toEqual(next);
    expect(at(2 * step, 2, 5)).toEqual(["b resolved"]);
  });

  it("has an alert for each group of series, and puts those of a group together", () => {
    const gauges = new TestGauges();
    for (const [queue, value] of [
      ["a", 6],
      ["b", 7],
    ] as const)
      gauges.set("depth", 0, value, queue);
    expect(
      evaluated(new RuleAlerts(rule({ warning: { at: 6.5 } })), gauges, 0).changes.map(({ alert }) => alert.labels),
    ).toEqual([{ queue: "b" }]);
    const all = rule({ queries: { depth: { metric: "depth", grouping: {} } }, warning: { at: 12 } });
    const [change] = evaluated(new RuleAlerts(all), gauges, 0).changes;
    expect(change?.alert).toMatchObject({ labels: {}, value: 13 });
  });

  it("works with several series that agree in their labels", () => {
    const share = rule({
      queries: { failed: { metric: "failed" }, all: { metric: "all" } },
      expression: "100.0 * failed / all",
      warning: { at: 10 },
    });
    const gauges = new TestGauges();
    for (const [queue, failed, all] of [
      ["a", 5, 100],
      ["b", 50, 100],
    ] as const) {
      gauges.set("failed", 0, failed, queue);
      gauges.set("all", 0, all, queue);
    }
    gauges.set("failed", 0, 99, "c");
    const found = evaluated(new RuleAlerts(share), gauges, 0).changes;
    expect(found.map(({ alert }) => [alert.labels["queue"], alert.value])).toEqual([["b", 50]]);
  });
});

describe("resolveRule", () => {
  it.each([
    [{ warning: { at: 10, clear: 11 } }, /warning: what is well again at 11/],
    [{ comparison: 2, critical: { at: 10, clear: 9 } }, /critical: /],
    [{ warning: { at: Number.NaN } }, /warning: NaN is no threshold/],
    [{ expression: "depth +" }, /expression: /],
    [{ expression: "dept + 1.0" }, /dept/],
    [
      { queries: { depth: { metric: "depth", matchers: [{ label: "queue", operator: 3, value: "(" }] } } },
      /queries\.depth: .*"queue"/,
    ],
  ] as [Partial<RuleInit>, RegExp][])("refuses %j", (init, expected) => {
    expect(() => rule(init)).toThrow(expected);
  });
});
