import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import {
  ListMetricsRequestSchema,
  MetricKind,
  type MetricSchema,
  type MonitoringService,
  type QuerySeriesRequest,
  QuerySeriesRequestSchema,
  SeriesStatistic,
  type SeriesSummarySchema,
  type TimeSeriesSchema,
} from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Clock } from "../../clock.ts";
import type {
  GroupSamples,
  GroupStatistics,
  MetricDescription,
  SeriesGroup,
  SeriesStore,
  Window,
} from "../../monitoring/index.ts";
import { suggestion } from "../../nearest-name.ts";
import { createError, durationFromMs, msFromDuration, msFromTimestamp, timestampFromMs } from "../../runs/index.ts";
import { nextTurn } from "../../sleep.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";
import { keptSeries } from "./kept-series.ts";

type SeriesMethods = Pick<ServiceImpl<typeof MonitoringService>, "listMetrics" | "querySeries">;

const defaultPage = 100;
const mostSteps = 11_000;
const mostPoints = 100_000;
/** What is read for one page: the buckets of a histogram are many for one point. About a second of a thread. */
const mostSamples = 1_000_000;
const hourMs = 3_600_000;
/** A few milliseconds, with the buckets of a histogram. */
const stepsPerTurn = 100;

/** What was measured. */
export function seriesMethods({ monitoring, engine: { clock } }: MonitoringServiceOptions): SeriesMethods {
  return {
    async listMetrics({ nameContains, pageSize, pageToken }) {
      const { store, collector } = await keptSeries(monitoring);
      const { listMetrics } = await import("../../monitoring/index.ts");
      const scope = pageScope(ListMetricsRequestSchema, create(ListMetricsRequestSchema, { nameContains }));
      const after = pageToken === "" ? "" : String(parsePageToken(pageToken, scope));
      const limit = pageSize || defaultPage;
      const rest = listMetrics(store, collector.metrics).filter(
        ({ name }) => name > after && name.includes(nameContains),
      );
      const page = rest.slice(0, limit);
      const next = rest.length > limit ? createPageToken(page.at(-1)?.name ?? "", scope) : "";
      return { metrics: page.map((metric) => metricMessage(store, metric)), nextPageToken: next };
    },

    async querySeries(request) {
      const { store, collector } = await keptSeries(monitoring);
      const { GroupSamples, levels, listMetrics, resolutionFor, resolveMatchers, sampleIntervalMs, seriesGroups } =
        await import("../../monitoring/index.ts");
      const metrics = listMetrics(store, collector.metrics);
      const metric = metrics.find(({ name }) => name === request.metric);
      if (metric === undefined) {
        throw createError(
          Code.NotFound,
          "METRIC_NOT_FOUND",
          `there are no samples of ${request.metric}${suggestion(
            request.metric,
            metrics.map(({ name }) => name),
          )}`,
        );
      }
      assertStatistic(metric, request.statistic);
      const scope = pageScope(
        QuerySeriesRequestSchema,
        create(QuerySeriesRequestSchema, { ...request, pageSize: 0, pageToken: "" }),
      );
      const nowMs = clock.now();
      const cursor = request.pageToken === "" ? undefined : parseCursor(parsePageToken(request.pageToken, scope));
      const window = windowOf(request, cursor?.untilMs ?? nowMs);
      const groups = matching(() => seriesGroups(store, metric, resolveMatchers(request.matchers)));
      const rest = groups
        .filter(({ key }) => cursor === undefined || key > cursor.key)
        .sort((a, b) => (a.key < b.key ? -1 : 1));
      const found: MessageInitShape<typeof TimeSeriesSchema>[] = [];
      let [points, samples, lastKey] = [0, 0, ""];
      for (const group of rest.slice(0, request.pageSize || defaultPage)) {
        if (points >= mostPoints || samples >= mostSamples) break;
        const read = await GroupSamples.read(store, nowMs, group, window);
        const series = await seriesMessage(group, read, request, window, clock);
        points += series.points?.length ?? 0;
        samples += read.size;
        lastKey = group.key;
        found.push(series);
        await nextTurn(clock);
      }
      const more = rest.length > found.length;
      const resolution = resolutionFor(window.afterMs, nowMs);
      return {
        series: found,
        nextPageToken: more ? createPageToken(`${window.untilMs} ${lastKey}`, scope) : "",
        kind: kinds[metric.kind],
        resolution: durationFromMs(levels[resolution].stepMs ?? sampleIntervalMs),
        totalSeries: groups.length,
      };
    },
  };
}

const kinds: Readonly<Record<MetricDescription["kind"], MetricKind>> = {
  counter: MetricKind.COUNTER,
  gauge: MetricKind.GAUGE,
  histogram: MetricKind.HISTOGRAM,
};

function metricMessage(
  store: SeriesStore,
  { name, kind, unit, description }: MetricDescription,
): MessageInitShape<typeof MetricSchema> {
  const series = store.select(kind === "histogram" ? `${name}_count` : name, () => true);
  const labels = new Set<string>();
  let newestMs = 0;
  for (const one of series) {
    for (const label of Object.keys(one.labels)) labels.add(label);
    newestMs = Math.max(newestMs, one.lastMs ?? 0);
  }
  return {
    ...{ name, kind: kinds[kind], unit, description, labels: [...labels].sort(), seriesCount: series.length },
    ...(newestMs > 0 && { lastSampleTime: timestampFromMs(newestMs) }),
  };
}

/** @throws ConnectError INVALID_ARGUMENT */
function windowOf({ startTime, endTime, step, statistic }: QuerySeriesRequest, nowMs: number): Window {
  const untilMs = endTime === undefined ? nowMs : msFromTimestamp(endTime);
  const afterMs = startTime === undefined ? untilMs - hourMs : msFromTimestamp(startTime);
  if (afterMs >= untilMs) throw invalidQuery("end_time must be later than start_time");
  if (step !== undefined && statistic !== SeriesStatistic.UNSPECIFIED) {
    const steps = Math.floor((untilMs - afterMs) / msFromDuration(step));
    if (steps < 1) throw invalidQuery("step is longer than the time from start_time to end_time");
    if (steps > mostSteps) {
      throw invalidQuery(`there are ${steps} steps, and may be ${mostSteps}: make step longer, or the time shorter`);
    }
  }
  return { afterMs, untilMs };
}

/** @throws ConnectError INVALID_ARGUMENT */
function assertStatistic({ name, kind }: MetricDescription, statistic: SeriesStatistic): void {
  if (statistic === SeriesStatistic.UNSPECIFIED || statisticsOf[kind].has(statistic)) return;
  const known = [...statisticsOf[kind]].map((each) => SeriesStatistic[each]).join(", ");
  throw invalidQuery(`${name} is a ${kind}, which has no ${SeriesStatistic[statistic]}: ask for one of ${known}`);
}

const quantileStatistics: ReadonlySet<SeriesStatistic> = new Set([
  SeriesStatistic.P50,
  SeriesStatistic.P95,
  SeriesStatistic.P99,
]);
const ofAll = [SeriesStatistic.COUNT, SeriesStatistic.LATEST];
const ofGrowing = [SeriesStatistic.RATE, SeriesStatistic.INCREASE];
const ofNumbers = [SeriesStatistic.MIN, SeriesStatistic.MAX];
const ofValues = [SeriesStatistic.SUM, SeriesStatistic.AVG];
const statisticsOf: Readonly<Record<MetricDescription["kind"], ReadonlySet<SeriesStatistic>>> = {
  gauge: new Set([...ofAll, ...ofNumbers, ...ofValues]),
  counter: new Set([...ofAll, ...ofNumbers, ...ofGrowing]),
  histogram: new Set([...ofAll, ...ofValues, ...ofGrowing, ...quantileStatistics]),
};

async function seriesMessage(
  group: SeriesGroup,
  read: GroupSamples,
  { statistic, step }: QuerySeriesRequest,
  window: Window,
  clock: Clock,
): Promise<MessageInitShape<typeof TimeSeriesSchema>> {
  const points =
    statistic === SeriesStatistic.UNSPECIFIED
      ? rawPoints(read)
      : await stepPoints(group, read, statistic, window, step && msFromDuration(step), clock);
  return {
    labels: { ...group.labels },
    points: points.map(([timeMs, value]) => ({ time: timestampFromMs(timeMs), value })),
    summary: summary(group, read.statistics(window)),
  };
}

type Point = readonly [timeMs: number, value: number];

function rawPoints({ samples: { timesMs, values } }: GroupSamples): Point[] {
  return timesMs.map((timeMs, i) => [timeMs, values[i] ?? Number.NaN] as const);
}

async function stepPoints(
  group: SeriesGroup,
  read: GroupSamples,
  statistic: SeriesStatistic,
  { afterMs, untilMs }: Window,
  stepMs = untilMs - afterMs,
  clock: Clock,
): Promise<Point[]> {
  const points: Point[] = [];
  const withQuantiles = quantileStatistics.has(statistic);
  for (let i = 1; afterMs + i * stepMs <= untilMs; i++) {
    const endMs = afterMs + i * stepMs;
    const told = summary(group, read.statistics({ afterMs: endMs - stepMs, untilMs: endMs }, withQuantiles));
    const value = told[valueNames[statistic]];
    // Nothing counted is nothing to tell where it is the samples that are counted.
    if (value !== undefined && (value !== 0 || told.latest !== undefined)) points.push([endMs, value]);
    if (i % stepsPerTurn === 0) await nextTurn(clock);
  }
  return points;
}

type Summary = Omit<MessageInitShape<typeof SeriesSummarySchema>, "$typeName" | "$unknown">;

const valueNames: Readonly<Record<SeriesStatistic, keyof Summary>> = {
  [SeriesStatistic.UNSPECIFIED]: "latest",
  [SeriesStatistic.COUNT]: "count",
  [SeriesStatistic.SUM]: "sum",
  [SeriesStatistic.MIN]: "min",
  [SeriesStatistic.MAX]: "max",
  [SeriesStatistic.AVG]: "avg",
  [SeriesStatistic.LATEST]: "latest",
  [SeriesStatistic.RATE]: "rate",
  [SeriesStatistic.INCREASE]: "increase",
  [SeriesStatistic.P50]: "p50",
  [SeriesStatistic.P95]: "p95",
  [SeriesStatistic.P99]: "p99",
};

/** Of a histogram, observations count, not samples of how many there were. */
function summary({ kind }: SeriesGroup, { quantiles, min, max, ...statistics }: GroupStatistics): Summary {
  const known = (value: number | undefined): value is number => value !== undefined && !Number.isNaN(value);
  return {
    ...statistics,
    ...(kind === "histogram" && { count: statistics.increase ?? 0 }),
    ...(kind !== "histogram" && known(min) && { min }),
    ...(kind !== "histogram" && known(max) && { max }),
    ...(known(quantiles?.p50) && { p50: quantiles.p50 }),
    ...(known(quantiles?.p95) && { p95: quantiles.p95 }),
    ...(known(quantiles?.p99) && { p99: quantiles.p99 }),
  };
}

/** What a page token tells: the end of the time of the first page, and the last series of the page before. */
function parseCursor(cursor: string | number): { readonly untilMs: number; readonly key: string } {
  const [until = "", key = ""] = String(cursor).split(/ (.*)/s);
  return { untilMs: Number(until), key };
}

/** @throws ConnectError INVALID_ARGUMENT in place of a TypeError */
function matching<T>(select: () => T): T {
  try {
    return select();
  } catch (error) {
    if (error instanceof TypeError) throw invalidQuery(`matchers: ${error.message}`);
    throw error;
  }
}

function invalidQuery(message: string) {
  return createError(Code.InvalidArgument, "INVALID_QUERY", message);
}
