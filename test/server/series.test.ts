import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { metrics } from "@opentelemetry/api";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import {
  MetricKind,
  MonitoringService,
  type QuerySeriesResponse,
  SeriesStatistic,
} from "../../gen/retake/v1/monitoring_service_pb.js";
import { start as startStudio } from "./breaker-studio.ts";
import { startWatched } from "./watched-server.ts";

const valuesOf = ({ series }: QuerySeriesResponse) => series.map(({ points }) => points.map(({ value }) => value));

/** A gauge, a counter and a histogram of a studio, with samples at 10 s, 20 s, …, 60 s. */
async function start() {
  const server = await startWatched();
  const meter = metrics.getMeter("studio");
  const depth = meter.createGauge("studio.depth", { unit: "{job}", description: "What waits." });
  const frames = meter.createCounter("studio.frames", { unit: "{frame}" });
  const took = meter.createHistogram("studio.took", {
    unit: "s",
    advice: { explicitBucketBoundaries: [1, 2, 4] },
  });
  const startMs = server.clock.now() - (server.clock.now() % 10_000);
  for (let i = 1; i <= 6; i++) {
    for (const queue of ["a", "b"]) depth.record(queue === "a" ? i : 10 * i, { queue });
    frames.add(i);
    took.record(1.5);
    await server.sample();
  }
  return { ...server, time: (seconds: number) => timestampFromMs(startMs + 1_000 * seconds) };
}

async function problemOf(call: Promise<unknown>) {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  return [error?.code, error?.findDetails(ErrorInfoSchema)[0]?.reason, error?.rawMessage];
}

describe("ListMetrics", () => {
  it("tells what each metric is, by name, in pages", async () => {
    const { client } = await start();
    const { metrics: found } = await client.listMetrics({ nameContains: "studio" });
    expect(found).toMatchObject([
      {
        ...{ name: "studio_depth", kind: MetricKind.GAUGE, unit: "{job}", description: "What waits." },
        ...{ labels: ["otel_scope_name", "queue"], seriesCount: 2 },
      },
      { name: "studio_frames_total", kind: MetricKind.COUNTER, labels: ["otel_scope_name"], seriesCount: 1 },
      {
        name: "studio_took_seconds",
        kind: MetricKind.HISTOGRAM,
        unit: "s",
        labels: ["otel_scope_name"],
        seriesCount: 1,
      },
    ]);
    expect(found[0]?.lastSampleTime?.seconds).toBeGreaterThan(0n);
    const all: string[] = [];
    let pageToken = "";
    do {
      const page = await client.listMetrics({ pageSize: 7, pageToken });
      expect(page.metrics.length).toBeLessThanOrEqual(7);
      all.push(...page.metrics.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(all).toEqual([...new Set(all)].sort());
    expect(all).toEqual(expect.arrayContaining(["process_uptime_seconds", "studio_took_seconds"]));
    const { nextPageToken } = await client.listMetrics({ pageSize: 1 });
    expect((await problemOf(client.listMetrics({ nameContains: "x", pageToken: nextPageToken })))[1]).toBe(
      "INVALID_PAGE_TOKEN",
    );
  });
});

describe("QuerySeries", () => {
  it("tells samples as they are kept, of the series that match, and all statistics of the whole time", async () => {
    const { client, time } = await start();
    const matchers = [{ label: "queue", value: "b" }];
    const answer = await client.querySeries({
      ...{ metric: "studio_depth", matchers, startTime: time(10), endTime: time(50) },
    });
    expect(answer).toMatchObject({ kind: MetricKind.GAUGE, totalSeries: 1, resolution: { seconds: 10n } });
    expect(valuesOf(answer)).toEqual([[20, 30, 40, 50]]);
    expect(answer.series[0]?.points[0]?.time).toEqual(time(20));
    expect(answer.series[0]?.labels).toEqual({ queue: "b", otel_scope_name: "studio" });
    expect(answer.series[0]?.summary).toMatchObject({ count: 4, sum: 140, min: 20, max: 50, avg: 35, latest: 50 });
    expect(answer.series[0]?.summary?.rate).toBeUndefined();
  });

  const ofSteps = [
    ["studio_depth", SeriesStatistic.AVG, [1.5, 3.5, 5.5]],
    ["studio_depth", SeriesStatistic.SUM, [3, 7, 11]],
    ["studio_depth", SeriesStatistic.MIN, [1, 3, 5]],
    ["studio_depth", SeriesStatistic.MAX, [2, 4, 6]],
    ["studio_depth", SeriesStatistic.LATEST, [2, 4, 6]],
    ["studio_depth", SeriesStatistic.COUNT, [2, 2, 2]],
    ["studio_frames_total", SeriesStatistic.LATEST, [3, 10, 21]],
    // From one sample to the next, stretched to the step as PromQL does it: to where the counter was 0, and by half.
    ["studio_frames_total", SeriesStatistic.INCREASE, [3, 8, 12]],
    ["studio_frames_total", SeriesStatistic.RATE, [0.15, 0.4, 0.6]],
    ["studio_took_seconds", SeriesStatistic.INCREASE, [2, 2, 2]],
    ["studio_took_seconds", SeriesStatistic.COUNT, [2, 2, 2]],
    ["studio_took_seconds", SeriesStatistic.AVG, [1.5, 1.5, 1.5]],
    ["studio_took_seconds", SeriesStatistic.P50, [1.5, 1.5, 1.5]],
    ["studio_took_seconds", SeriesStatistic.P99, [1.99, 1.99, 1.99]],
  ] as const;

  it("makes the statistic that is asked for of each step", async () => {
    const { client, time } = await start();
    for (const [metric, statistic, expected] of ofSteps) {
      const answer = await client.querySeries({
        ...{ metric, statistic, startTime: time(0), endTime: time(60), step: { seconds: 20n } },
        matchers: [{ label: "queue", operator: 2, value: "b" }],
      });
      const [values = []] = valuesOf(answer);
      const rounded = values.map((value) => Math.round(1e6 * value) / 1e6);
      expect([metric, SeriesStatistic[statistic], rounded]).toEqual([metric, SeriesStatistic[statistic], expected]);
      expect(answer.series[0]?.points.map(({ time: at }) => at)).toEqual([time(20), time(40), time(60)]);
    }
  });

  it("makes one point of the whole time without a step, and leaves out steps that have no samples", async () => {
    const { client, time } = await start();
    const query = { metric: "studio_frames_total", statistic: SeriesStatistic.LATEST };
    expect(valuesOf(await client.querySeries({ ...query, startTime: time(0), endTime: time(60) }))).toEqual([[21]]);
    const later = { ...query, startTime: time(0), endTime: time(300), step: { seconds: 60n } };
    expect(valuesOf(await client.querySeries(later))).toEqual([[21]]);
  });

  it("pages by series, over the time of the first page", async () => {
    const { client, sample } = await start();
    const first = await client.querySeries({ metric: "studio_depth", pageSize: 1 });
    expect(first).toMatchObject({ totalSeries: 2, series: [{ labels: { queue: "a" } }] });
    await sample(3);
    const second = await client.querySeries({ metric: "studio_depth", pageSize: 1, pageToken: first.nextPageToken });
    expect(valuesOf(second)).toEqual([[10, 20, 30, 40, 50, 60]]);
    expect(second.nextPageToken).toBe("");
  });

  const refused = [
    ["a metric that there is not", { metric: "studio_dept" }, Code.NotFound, "METRIC_NOT_FOUND", /studio_depth/],
    [
      "a time that ends before it begins",
      { startTime: timestampFromMs(2e12), endTime: timestampFromMs(1e12) },
      ...[Code.InvalidArgument, "INVALID_QUERY", /later than start_time/],
    ],
    [
      "more steps than there may be",
      { startTime: timestampFromMs(1e12), statistic: SeriesStatistic.MAX, step: { seconds: 10n } },
      ...[Code.InvalidArgument, "INVALID_QUERY", /may be 11000/],
    ],
    [
      "a statistic that its kind has not",
      { statistic: SeriesStatistic.RATE },
      ...[Code.InvalidArgument, "INVALID_QUERY", /is a gauge, which has no RATE: ask for one of COUNT, LATEST/],
    ],
    [
      "a matcher that is no regular expression",
      { matchers: [{ label: "queue", operator: 3, value: "(" }] },
      ...[Code.InvalidArgument, "INVALID_QUERY", /matchers: the label "queue"/],
    ],
  ] as const;

  it("refuses what makes no sense", async () => {
    const { client } = await start();
    for (const [what, request, code, reason, message] of refused) {
      const problem = await problemOf(client.querySeries({ metric: "studio_depth", ...(request as object) }));
      expect([what, ...problem]).toEqual([what, code, reason, expect.stringMatching(message as RegExp)]);
    }
  });

  it("says where nothing is kept", async () => {
    const { server } = await startStudio();
    const client = createClient(MonitoringService, server.transport);
    for (const call of [client.querySeries({ metric: "up" }), client.listMetrics({})]) {
      expect((await problemOf(call)).slice(0, 2)).toEqual([Code.FailedPrecondition, "MONITORING_DISABLED"]);
    }
  });
});
