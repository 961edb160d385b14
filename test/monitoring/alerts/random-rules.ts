import { CelScalar, celEnv, parse, plan } from "@bufbuild/cel";
import type { Rule, RuleExpression, RuleQuery, Statistic } from "../../../src/monitoring/alerts/rule.ts";
import { type LabelMatcher, labelTest } from "../../../src/monitoring/series/matcher.ts";
import type { Labels } from "../../../src/monitoring/series/series.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";

/** A series with what it holds every ten seconds; undefined where it was not scraped. */
export interface TestSeries {
  readonly name: string;
  readonly labels: Labels;
  readonly values: readonly (number | undefined)[];
}

export interface RandomCase {
  readonly rule: Rule;
  readonly series: readonly TestSeries[];
}

/** Some hundred milliseconds off the ten seconds of the samples, because versions of Prometheus differ in what lies right on the edge. */
const windowsMs = [35_000, 65_000, 95_000, 125_500, 302_000];

const ratios = [
  "100.0 * failed / (all + 1.0)",
  "all > 30.0 ? 100.0 * failed / all : 30.0",
  "failed >= all ? all : failed",
  "failed > all - 20.0 ? failed : all - 20.0",
  "failed < all / 2.0 ? failed : 20.0",
  // Integers where CEL takes them, numbers without a label, and choices within choices.
  "all > 30 ? 100.0 * failed / all : 20.0 + 10.0",
  "failed - all < 0.0 ? -failed + 40.0 : (all <= 3.0 ? 7.5 : all)",
  "50 > 100.0 * failed / (all + 1.0) ? 20 + 5 : 60",
  // Now and then nothing is divided by nothing.
  "failed / (all - all) > 1.0 ? 50.0 : all",
  "(failed - failed) / (failed - failed) <= 1.0 ? 5.0 : 45.0 + 0.0 * all",
];

/** A rule over series of its own, drawn from a seed. */
export function randomCase(seed: number, samples: number): RandomCase {
  const random = createSeededRandom(seed);
  const below = (limit: number): number => Math.floor(random.next() * limit);
  const pick = <T>(all: readonly T[]): T => all[below(all.length)] as T;
  const maybe = <T>(share: number, value: () => T, otherwise: T): T => (random.next() < share ? value() : otherwise);

  const name = `m${seed}`;
  const kind = pick(["gauge", "gauge", "counter", "histogram", "ratio"] as const);
  const queues = ["a", "ab", "b"].slice(0, 1 + below(3));
  const present = (): boolean => random.next() > 0.06;
  // Versions of Prometheus differ in how far they stretch a counter that is close to 0 where a sample is missing.
  const counter = (metric: string, labels: Labels, most: number): TestSeries => {
    let value = 500 + below(20);
    let sinceReset = 100;
    let wasPresent = true;
    const values = Array.from({ length: samples }, () => {
      const reset = wasPresent && random.next() < 0.02;
      value = reset ? below(3) : value + below(most);
      sinceReset = reset ? 0 : sinceReset + 1;
      wasPresent = sinceReset < 40 || present();
      return wasPresent ? value : undefined;
    });
    return { name: metric, labels, values };
  };
  const gauge = (labels: Labels): TestSeries => {
    let value = below(40);
    const values = Array.from({ length: samples }, () => {
      value += below(9) - 4;
      return present() ? value / 4 : undefined;
    });
    return { name, labels, values };
  };
  const histogram = (labels: Labels): TestSeries[] => {
    const bounds = ["0.1", "0.5", "1", "+Inf"];
    const counts = bounds.map(() => 500);
    const values = bounds.map((): (number | undefined)[] => []);
    for (let i = 0; i < samples; i++) {
      const scraped = present();
      for (const j of bounds.keys()) counts[j] = (counts[j] ?? 0) + below(j === i % 4 ? 6 : 2);
      let all = 0;
      for (const [j, own] of values.entries()) {
        all += counts[j] ?? 0;
        own.push(scraped ? all : undefined);
      }
    }
    return bounds.map((le, j) => ({ name: `${name}_bucket`, labels: { ...labels, le }, values: values[j] ?? [] }));
  };

  const all = (shards: boolean): Labels[] =>
    queues.flatMap((queue) => (shards ? ["1", "2"].map((shard) => ({ queue, shard })) : [{ queue }]));
  const shards = kind !== "ratio" && random.next() < 0.4;
  const series =
    kind === "histogram"
      ? all(shards).flatMap(histogram)
      : kind === "ratio"
        ? all(false).flatMap((labels) => [counter(`${name}_failed`, labels, 4), counter(`${name}_all`, labels, 9)])
        : all(shards).map((labels) => (kind === "counter" ? counter(name, labels, 9) : gauge(labels)));

  const matchers: LabelMatcher[] = maybe<LabelMatcher[]>(
    0.4,
    () => [
      pick<LabelMatcher>([
        { label: "queue", operator: "=", value: "a" },
        { label: "queue", operator: "!=", value: "b" },
        { label: "queue", operator: "=~", value: "a.*" },
        { label: "queue", operator: "!~", value: "a|c" },
        { label: "absent", operator: "=", value: "" },
      ]),
    ],
    [],
  );
  const groupBy =
    kind === "ratio" ? undefined : maybe<readonly string[] | undefined>(0.4, () => pick([["queue"], []]), undefined);
  const query = (metric: string, statistic: Statistic): RuleQuery => ({
    ...{ metric, matchers, test: labelTest(matchers), statistic, windowMs: pick(windowsMs) },
    minCount: maybe(0.25, () => 1 + below(8), 0),
    offsetMs: maybe(0.3, () => pick([23_700, 62_500, 180_500]), 0),
    ...(groupBy !== undefined && { groupBy }),
  });
  const gauges: Statistic[] = ["latest", "avg", "min", "max", "sum", "count"];
  const queries = new Map<string, RuleQuery>(
    kind === "gauge"
      ? [["value", query(name, pick(gauges))]]
      : kind === "counter"
        ? [["value", query(name, pick<Statistic>(["rate", "increase"]))]]
        : kind === "histogram"
          ? [["value", query(name, { quantile: pick([0.5, 0.9, 0.95, 0.99]) })]]
          : [
              ["failed", query(`${name}_failed`, "increase")],
              ["all", query(`${name}_all`, "increase")],
            ],
  );
  const centre = { gauge: 10, counter: 0.4, histogram: 0.4, ratio: 35 }[kind] * (groupBy?.length === 0 ? 1.5 : 1);
  const comparison = pick(["above", "below"] as const);
  // Never a number that samples come to: sums are added up in another order.
  const at = centre * (0.6 + random.next() * 0.9) + 0.000_137;
  const step = centre * (0.1 + random.next() * 0.4) * (comparison === "above" ? 1 : -1);
  const cleared = (value: number): number => value - maybe(0.5, () => step * random.next(), 0);
  const rule: Rule = {
    name: `Rule${seed}`,
    queries,
    ...(kind === "ratio" && { expression: celExpression(pick(ratios), ["failed", "all"]) }),
    comparison,
    thresholds: {
      ...maybe<Rule["thresholds"]>(0.8, () => ({ warning: { at, clear: cleared(at) } }), {}),
      ...maybe<Rule["thresholds"]>(0.6, () => ({ critical: { at: at + step, clear: cleared(at + step) } }), {}),
    },
    forMs: pick([0, 0, 20_000, 45_000]),
    keepFiringForMs: pick([0, 0, 30_000]),
    noData: maybe<Rule["noData"]>(0.4, () => "alert", "ok"),
    ...{ onError: "ok", labels: { team: "render" }, annotations: {} },
  };
  return { rule, series };
}

function celExpression(source: string, variables: readonly string[]): RuleExpression {
  const env = celEnv({ variables: Object.fromEntries(variables.map((name) => [name, CelScalar.DYN])) });
  const evaluate = plan(env, parse(source));
  return { source, evaluate: (bindings) => evaluate({ ...bindings }) };
}
