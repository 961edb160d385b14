import type { Bar, FigureResult } from "../figures.ts";
import { keepsTo } from "../figures.ts";
import { median, quantile } from "../statistics.ts";
import type { Scenario } from "./scenarios.ts";

/** What holds, or does not, when there is much of something. */
export interface ManyFigure {
  readonly name: string;
  readonly unit: string;
  readonly bar: Bar | undefined;
  /** What measures it, together with others. */
  readonly scenario: Scenario;
}

/** What the pages of `ListRuns` are asked for by. */
export const listFilters = ["none", "workflow", "state", "owner", "parent", "time", "key", "all"] as const;

export type ListFilter = (typeof listFilters)[number];

/** Every figure of this group. A name says first what there is much of. Those without a bar are for orientation. */
export const manyFigures: readonly ManyFigure[] = [
  figure("many-start-up", "ms", "start-up", { below: 500 }),
  figure("many-start-up-again", "ms", "start-up", { below: 500 }),
  figure("many-start-up-web", "ms", "start-up"),
  figure("many-start-up-bare", "ms", "start-up"),
  figure("many-recovery", "s", "recovery", { below: 3 }),
  figure("many-recovery-empty", "s", "recovery"),
  figure("many-recovery-first-answer", "s", "recovery"),
  figure("many-watchers", "KB each", "watchers", { atMost: 20 }),
  figure("many-watchers-bare", "KB each", "watchers"),
  figure("many-events-p50", "ms", "events"),
  figure("many-events-p99", "ms", "events", { below: 100 }),
  figure("many-events-bare-p99", "ms", "events"),
  figure("many-queued", "B each", "queued", { atMost: 1024 }),
  figure("many-queued-resident", "B each", "queued", { atMost: 1024 }),
  figure("many-at-once", "share", "at-once", { atLeast: 1 }),
  figure("many-at-once-time", "ms", "at-once"),
  figure("many-at-once-bare-time", "ms", "at-once"),
  figure("many-finished-start-run", "ratio", "finished", { atMost: 1.15 }),
  figure("many-finished-start-run-p50", "ratio", "finished", { atMost: 1.15 }),
  ...listFilters.flatMap((filter) => [
    figure(`many-finished-list-by-${filter}`, "ms", "finished", { below: 10 }),
    figure(`many-finished-list-by-${filter}-few`, "ms", "finished"),
  ]),
];

/** What holds when there is more to do than can be done, or when it fails: measured as the others are. */
export const troubleFigures: readonly ManyFigure[] = [
  figure("overload-peak", "runs/s", "overload"),
  figure("overload-goodput", "runs/s", "overload"),
  figure("overload-goodput-share", "ratio", "overload", { atLeast: 0.9 }),
  figure("overload-refused", "share", "overload"),
  figure("overload-failed", "calls", "overload", { atMost: 0 }),
  figure("overload-refusal-p99", "ms", "overload", { below: 5 }),
  ...["journal", "memory", "event-loop"].flatMap((trouble) => [
    figure(`shedding-${trouble}-refused`, "share", "shedding"),
    figure(`shedding-${trouble}-refusal-p99`, "ms", "shedding", { below: 5 }),
    figure(`shedding-${trouble}-keyed-refusal-p99`, "ms", "shedding", { below: 5 }),
  ]),
  figure("failing-at-once", "share", "failing", { atLeast: 1 }),
  figure("failing-at-once-time", "ms", "failing"),
  ...breakerFigures("fail", { below: 5 }),
  ...breakerFigures("fallback", { below: 5 }),
  ...breakerFigures("reference"),
  figure("parked-memory", "B each", "parked", { atMost: 1024 }),
  figure("parked-memory-resident", "B each", "parked", { atMost: 1024 }),
  figure("parked-drained", "share", "parked", { atLeast: 1 }),
  figure("parked-drain-rate", "runs/s", "parked"),
  figure("parked-drain-time", "s", "parked"),
  figure("parked-drain-over-limit", "runs", "parked", { atMost: 0 }),
  figure("parked-drain-event-loop-delay-p99", "ms", "parked"),
  figure("parked-drain-event-loop-delay-max", "ms", "parked"),
];

/** What it takes to watch over a server: measured as the others are. */
export const watchFigures: readonly ManyFigure[] = [
  figure("alerts-evaluation", "ms CPU", "alerts", { below: 80 }),
  // One evaluation interval, and a little more.
  figure("alerts-webhook", "ms", "alerts", { atMost: 10_200 }),
  figure("alerts-webhook-after-sample", "ms", "alerts", { atMost: 200 }),
  figure("series-memory", "MB", "series", { atMost: 64 }),
  // With what writing them out each minute leaves to the allocator.
  figure("series-memory-resident", "MB", "series"),
  // Of each scrape, the longest turn of the event loop, up to a millisecond too long: that is how often it is looked at. Judged
  // is the median: the longest of all is that of the scrape in which the server's thread was kept off its core.
  figure("scrape-turn", "ms", "scrape", { atMost: 10 }),
  figure("scrape-turn-max", "ms", "scrape"),
  figure("scrape-time", "ms", "scrape"),
];

/** The figures with that name, else those whose name begins with it and a dash; none for another. */
export function selectManyFigures(only: string | undefined): readonly ManyFigure[] {
  const all = [...manyFigures, ...troubleFigures, ...watchFigures];
  const named = all.filter(({ name }) => name === only);
  return named.length > 0 ? named : all.filter(({ name }) => only !== undefined && name.startsWith(`${only}-`));
}

/** @throws Error when the scenario has not told it */
export function evaluateManyFigure(
  { name, unit, bar }: ManyFigure,
  values: ReadonlyMap<string, readonly number[]>,
): FigureResult {
  const own = values.get(name);
  if (own === undefined || own.length === 0) {
    throw new Error(`${name} was not measured`);
  }
  const value = median(own);
  return {
    name,
    value,
    quartiles: [quantile(own, 0.25), quantile(own, 0.75)],
    unit,
    bar,
    holds: bar === undefined ? undefined : keepsTo(bar, value),
  };
}

function breakerFigures(answer: string, bar?: Bar): readonly ManyFigure[] {
  return [
    figure(`breaker-${answer}-p50`, "ms", "breaker"),
    figure(`breaker-${answer}-p99`, "ms", "breaker", bar),
    figure(`breaker-${answer}-loaded-p50`, "ms", "breaker"),
    figure(`breaker-${answer}-loaded-p99`, "ms", "breaker", bar),
    figure(`breaker-${answer}-most`, "calls/s", "breaker"),
  ];
}

function figure(name: string, unit: string, scenario: Scenario, bar?: Bar): ManyFigure {
  return { name, unit, bar, scenario };
}
