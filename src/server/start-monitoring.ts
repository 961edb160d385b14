import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { ResolvedConfig, ResolvedMonitoring } from "../config/index.ts";
import type { Instruments } from "../instruments.ts";
import {
  type Exporting,
  InstrumentsProducer,
  Meters,
  MetricFamilies,
  noSeriesStorage,
  openSeriesStorage,
  ownResource,
  SeriesCollector,
  SeriesStore,
} from "../monitoring/index.ts";
import { ownVersion } from "../own-version.ts";
import { observeProcess } from "../process-metrics.ts";
import type { Logger } from "../runs/index.ts";

export interface MonitoringOptions {
  readonly config: Pick<ResolvedConfig, "dataDirectory" | "telemetry"> & {
    readonly monitoring?: Pick<ResolvedMonitoring, "series">;
  };
  readonly instruments: Instruments;
  /** Absent where nothing is exported. */
  readonly exporting?: Pick<Exporting, "metricReaders"> | undefined;
  /** Whether the data directory is this server's; if not, series are in memory alone. */
  readonly ownsData: boolean;
  /** Called when all samples of a moment are there: what follows from them is decided then. */
  readonly onSampled?: (timeMs: number) => void;
  /** Watches over what is kept, from the first sample on. */
  readonly watch?: (store: SeriesStore) => Promise<Watching | undefined>;
  /** Takes out of a text what must not be told. */
  readonly redact: (text: string) => string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who watches over what is kept. */
export interface Watching {
  /** All samples of a moment are there, which was then by the monotonic clock. */
  sampled(timeMs: number, monotonicMs: number): Promise<void>;
  close(): Promise<void>;
}

/** What is measured, and what is kept of it. */
export interface Monitoring {
  readonly meters: Meters;
  /** What has which name in Prometheus, and in the series. */
  readonly families: MetricFamilies;
  /** Absent where nothing is kept (`monitoring.disabled`). */
  readonly series?: { readonly store: SeriesStore; readonly collector: SeriesCollector };
  /** Keeps what there is, and sends what is left to those who export. */
  close(): Promise<void>;
}

/** Begins to take samples. The modules behind it are many: whoever listens first starts sooner. */
export async function startMonitoring(options: MonitoringOptions): Promise<Monitoring> {
  const { config, instruments, redact, clock, log } = options;
  const version = await ownVersion();
  const stopObserving = observeProcess(instruments, clock);
  const cardinalityLimit = config.telemetry?.cardinalityLimit ?? 0;
  const producer = new InstrumentsProducer({ instruments, clock, version });
  const readers = (await options.exporting?.metricReaders(producer, cardinalityLimit)) ?? [];
  const meters = new Meters({ resource: ownResource(version), cardinalityLimit, producer, redact, readers });
  const families = new MetricFamilies(log);
  const stopMeasuring = async (): Promise<void> => {
    stopObserving();
    await meters.close();
  };
  if (config.monitoring === undefined) return { meters, families, close: stopMeasuring };
  const store = await SeriesStore.open({
    clock,
    log,
    storage: seriesStorage(options),
    maxSeries: config.monitoring.series.limit,
  });
  const watching = await options.watch?.(store);
  const collector = new SeriesCollector({
    ...{ clock, log, store, families },
    collect: () => meters.collect((error) => log.warn({ err: error }, "a metric cannot be read")),
    onSampled: async (timeMs, monotonicMs) => {
      await watching?.sampled(timeMs, monotonicMs);
      options.onSampled?.(timeMs);
    },
  });
  observeSeries(instruments, store, collector);
  collector.start();
  return {
    meters,
    families,
    series: { store, collector },
    async close() {
      await collector.close();
      await watching?.close();
      await store.close();
      await stopMeasuring();
    },
  };
}

function observeSeries(instruments: Instruments, store: SeriesStore, collector: SeriesCollector): void {
  const gauge = (name: string, description: string, read: () => number): void =>
    instruments.observed("gauge", { name, unit: "{series}", description }, (set) => set(read()));
  gauge("retake.series.kept", "Series of metrics that are kept.", () => store.limit - store.room);
  gauge("retake.series.limit", "How many series of metrics may be kept (monitoring.series.limit).", () => store.limit);
  gauge("retake.series.refused", "Series of metrics that there was no room for.", () => collector.refused);
}

function seriesStorage({ config, ownsData }: MonitoringOptions) {
  if (!ownsData) return noSeriesStorage;
  const path = join(config.dataDirectory, "series.sqlite");
  const storage = openSeriesStorage(path);
  // Nothing can be read of a file that there is not, and that needs no thread.
  return existsSync(path) ? storage : { ...storage, load: noSeriesStorage.load };
}
