import type { Attributes } from "@opentelemetry/api";
import type { DataPoint, Histogram, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { Clock, Timer } from "../../clock.ts";
import type { Logger } from "../../runs/index.ts";
import { nextTurn } from "../../sleep.ts";
import type { FamilyMember, MetricFamilies, MetricFamily, ScopeLabels } from "../prometheus/metric-families.ts";
import { labelName, type MetricKind } from "../prometheus/metric-name.ts";
import { sampleIntervalMs } from "./resolutions.ts";
import type { Labels, Series } from "./series.ts";
import type { SeriesIdentity, SeriesStore } from "./series-store.ts";

/** What a metric is, for those who list them. */
export interface MetricDescription {
  /** As in Prometheus: of a histogram without `_bucket`, `_sum` and `_count`. */
  readonly name: string;
  readonly kind: MetricKind;
  /** As in OpenTelemetry (UCUM). */
  readonly unit: string;
  readonly description: string;
}

export interface SeriesCollectorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: SeriesStore;
  /** Cumulative metrics, read anew. */
  readonly collect: () => Promise<ResourceMetrics>;
  readonly families: MetricFamilies;
  /** Called when the samples of a moment are all there. */
  readonly onSampled?: (timeMs: number, monotonicMs: number) => Promise<void>;
}

/** How many samples are appended before the event loop has its turn: a millisecond, or two where that has been idle for long. */
const slice = 250;

const flushEvery = 6;
const pruneEvery = 360;

/** Takes samples of every metric each ten seconds, at whole tens of seconds of the clock. */
export class SeriesCollector {
  readonly #options: SeriesCollectorOptions;
  readonly #metrics = new Map<string, MetricDescription>();
  /** Names of the server's own that it has been told of that a user has, too. */
  readonly #clashes = new Set<string>();
  /** Attributes are the same object each time, so that names and labels are made once. */
  readonly #known = new WeakMap<Attributes, Map<string, readonly Series[]>>();
  /** Series that are not kept, of those of the last round; and of this one so far. */
  #refused = 0;
  #refusing = 0;
  /** When the last samples were taken, or before the first when it was begun. */
  #lastMs: number | undefined;
  #timer: Timer | undefined;
  #sampling: Promise<void> = Promise.resolve();
  #rounds = 0;
  /** What is stored now; nothing that is decided by samples waits for the disk. */
  #keeping: Promise<void> | undefined;
  /** Whether it has been told that the disk does not answer. */
  #toldOfWaiting = false;
  #pruneDue = false;
  #closed = false;

  constructor(options: SeriesCollectorOptions) {
    this.#options = options;
  }

  /** Those that have been seen, by name. */
  get metrics(): ReadonlyMap<string, MetricDescription> {
    return this.#metrics;
  }

  /** How many series there was no room for in the last round. */
  get refused(): number {
    return this.#refused;
  }

  start(): void {
    const { clock } = this.#options;
    this.#lastMs ??= wholeMs(clock.now());
    this.#timer = clock.setTimeout(
      () => {
        // A round that takes longer than the interval leaves out the next.
        this.#sampling = this.sample().finally(() => {
          if (!this.#closed) this.start();
        });
      },
      sampleIntervalMs - (clock.now() % sampleIntervalMs),
    );
  }

  /** Takes a sample of everything now. What fails is told to the log. */
  async sample(): Promise<void> {
    const { clock, log, store, collect, families, onSampled } = this.#options;
    try {
      const timeMs = wholeMs(clock.now());
      const monotonicMs = clock.monotonic();
      const { scopeMetrics } = await collect();
      await nextTurn(clock);
      store.advance(timeMs);
      this.#refusing = 0;
      let appended = 0;
      for (const family of families.of(scopeMetrics)) {
        const description = this.#describe(family);
        for (const { scope, metric } of this.#kept(family)) {
          for (const point of metric.dataPoints) {
            appended += this.#append(description, scope, point, timeMs);
            if (appended >= slice) {
              appended = 0;
              await nextTurn(clock);
            }
          }
        }
      }
      await nextTurn(clock);
      this.#countRefused();
      this.#lastMs = timeMs;
      await onSampled?.(timeMs, monotonicMs);
      this.#rounds++;
      if (this.#rounds % pruneEvery === 0) this.#pruneDue = true;
      if (this.#rounds % flushEvery === 0) this.#keep();
    } catch (error) {
      log.error({ err: error }, "the metrics of this moment could not be sampled");
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#sampling;
  }

  #countRefused(): void {
    const { log, store } = this.#options;
    if (this.#refusing > 0 && this.#refused === 0) {
      const told = { refused: this.#refusing, limit: store.limit };
      log.warn(told, "there are too many series of metrics: further ones are not kept, and no alert sees them");
    }
    this.#refused = this.#refusing;
  }

  /** Hands to the disk what is new, unless it is still busy with what was new before. */
  #keep(): void {
    const { log, store } = this.#options;
    if (this.#keeping !== undefined) {
      if (!this.#toldOfWaiting)
        log.warn({}, "the series of metrics have not been stored for a minute: the disk is slow");
      this.#toldOfWaiting = true;
      return;
    }
    const prune = this.#pruneDue;
    this.#pruneDue = false;
    this.#keeping = (prune ? store.prune() : store.flush())
      .catch((error: unknown) => log.error({ err: error }, "the series of metrics cannot be stored"))
      .finally(() => {
        this.#keeping = undefined;
        this.#toldOfWaiting = false;
      });
  }

  #describe({ name, kind, unit, description }: MetricFamily): MetricDescription {
    let known = this.#metrics.get(name);
    if (known === undefined) {
      known = { name, kind, unit, description };
      this.#metrics.set(name, known);
    }
    return known;
  }

  /** The server's own alerts and its status look at all series of a name: what users measure under it is none of these. */
  #kept({ name, members }: MetricFamily): readonly FamilyMember[] {
    if (members.length === 1 || !ownMetric.test(name)) return members;
    const own = members.filter(({ scope }) => scope.key === "");
    if (own.length === 0 || own.length === members.length) return members;
    if (!this.#clashes.has(name)) {
      this.#clashes.add(name);
      const message =
        "a metric has the name of one of the server's own: its samples are not kept, and no alert sees them";
      const meters = members.flatMap(({ scope }) => scope.labels["otel_scope_name"] ?? []);
      this.#options.log.warn({ name, meters }, message);
    }
    return own;
  }

  #append(description: MetricDescription, scope: ScopeLabels, point: DataPoint<unknown>, timeMs: number): number {
    const { store } = this.#options;
    const values =
      description.kind === "histogram" ? histogramValues(point.value as Histogram) : [point.value as number];
    const series = this.#seriesOf(description, scope, point);
    if (series === undefined) {
      this.#refusing += values.length;
      return values.length;
    }
    for (const [i, one] of series.entries()) {
      const value = values[i];
      if (value === undefined) continue;
      if (one.lastMs === undefined && one.kind === "counter") this.#beginAtZero(one, timeMs);
      store.append(one, timeMs, value);
    }
    return values.length;
  }

  /** What was counted before the first sample has happened since the samples before: nobody is to miss it. */
  #beginAtZero(series: Series, timeMs: number): void {
    const lastMs = this.#lastMs;
    if (lastMs !== undefined && lastMs < timeMs) this.#options.store.append(series, lastMs, 0);
  }

  #seriesOf(
    { name, kind }: MetricDescription,
    scope: ScopeLabels,
    { attributes, value }: DataPoint<unknown>,
  ): readonly Series[] | undefined {
    let byMetric = this.#known.get(attributes);
    if (byMetric === undefined) {
      byMetric = new Map();
      this.#known.set(attributes, byMetric);
    }
    // Two meters may be given the same attributes.
    const place = name + scope.key;
    let known = byMetric.get(place);
    if (known === undefined) {
      const { store } = this.#options;
      // What users count is not to take the place of what the server's own alerts look at.
      const spare = ownMetric.test(name) ? 0 : Math.ceil(store.limit / ownShare);
      known = store.together(identities(name, kind, { ...labelsOf(attributes), ...scope.labels }, value), spare);
      // There may be room at another time.
      if (known !== undefined) byMetric.set(place, known);
    }
    return known;
  }
}

/** How the metrics of this server begin. */
const ownMetric = /^(retake|rpc|nodejs|v8js|process|otel)_/;

/** A quarter of all series is for them alone. */
const ownShare = 4;

function identities(
  name: string,
  kind: MetricDescription["kind"],
  labels: Labels,
  value: unknown,
): readonly SeriesIdentity[] {
  if (kind !== "histogram") return [{ name, labels, kind }];
  const { boundaries } = (value as Histogram).buckets;
  return [
    { name: `${name}_count`, labels, kind: "counter" },
    { name: `${name}_sum`, labels, kind: "counter" },
    ...[...boundaries.map(String), "+Inf"].map((le) => ({
      ...{ name: `${name}_bucket`, labels: { ...labels, le } },
      kind: "counter" as const,
    })),
  ];
}

/** Samples lie close to whole tens of seconds, and take less room where they are rounded. */
function wholeMs(timeMs: number): number {
  return Math.round(timeMs / 10) * 10;
}

/** In the order of the series: count, sum, then each bucket with all below it. */
function histogramValues({ count, sum, buckets }: Histogram): number[] {
  const values = [count, sum ?? 0];
  let below = 0;
  for (const inBucket of buckets.counts) {
    below += inBucket;
    values.push(below);
  }
  return values;
}

/** As on /metrics: names that are the same in Prometheus share a label. */
function labelsOf(attributes: Attributes): Labels {
  const labels: Record<string, string> = {};
  for (const name of Object.keys(attributes).sort()) {
    const value = attributes[name];
    if (value === undefined) continue;
    const label = labelName(name);
    const before = labels[label];
    labels[label] = before === undefined ? String(value) : `${before};${String(value)}`;
  }
  return labels;
}
