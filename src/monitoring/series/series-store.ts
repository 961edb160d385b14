import type { Clock } from "../../clock.ts";
import { type Logger, within } from "../../runs/index.ts";
import { readChunk } from "./chunk.ts";
import { ChunkPages } from "./chunk-pages.ts";
import type { LabelTest } from "./matcher.ts";
import { type ClosedChunk, pastChunk, pastChunks } from "./past-chunks.ts";
import { levels, sampleIntervalMs } from "./resolutions.ts";
import { type Labels, Series, type SeriesKind, seriesKey } from "./series.ts";
import type { AggregateSample, StoredChunk, StoredSeries } from "./series-database.ts";
import { noSeriesStorage, type SeriesStorage } from "./series-storage.ts";

export interface SeriesStoreOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly storage: SeriesStorage;
  /**
   * Series at once; further ones are refused. Those that have had no sample for some six hours do not count: as many of them
   * are remembered for what they were. Default: 20,000.
   */
  readonly maxSeries?: number;
}

/** What a series is known by. */
export interface SeriesIdentity {
  readonly name: string;
  readonly labels: Labels;
  readonly kind: SeriesKind;
}

/** Counters that somebody looks at further back than six hours. */
export interface WantedPast {
  readonly name: string;
  readonly test: LabelTest;
  readonly windowMs: number;
}

const defaultMaxSeries = 20_000;

/** How many series are handed to the storage at once: a millisecond of the event loop. */
const slice = 500;

/** How many series are read at once: some ten milliseconds of the event loop. */
const loadSlice = 250;

/** For so long a disk that hangs keeps alerts from being watched over. */
const patienceMs = 30_000;

/** How many chunks at once that are to be summed up: others who ask the storage wait for them. */
const closedSlice = 100;

/** How many chunks that have ended are stored at once: all series end one at the full hour, and each costs much. */
const closedAtLeast = 1_000;

/** They are all stored after so many times. */
const closedIn = 10;

/** What a storage that takes nothing leaves waiting in memory: a day. */
const mostClosing = 24;

/** What nobody waits for longer when the store is closed. */
const closingMs = 10_000;

/** What a clock may go back before it counts as set anew: more than a sample's jitter. */
const toleratedStepMs = 2 * sampleIntervalMs;

/**
 * The samples of all series: those of the last six hours in memory, packed, and read without waiting; older ones, at
 * coarser resolutions, in the storage.
 */
export class SeriesStore {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #storage: SeriesStorage;
  readonly #maxSeries: number;
  readonly #byKey = new Map<string, Series>();
  readonly #byName = new Map<string, Set<Series>>();
  /** Those that have no samples in memory, the longest first: their place is free. */
  readonly #asleep = new Set<Series>();
  readonly #pages = new ChunkPages();
  /** What a counter had reached before it began anew. */
  readonly #offsets = new Map<Series, number>();
  /** What counters had reached that have been silent for so long that none of it is in memory. */
  readonly #reached = new Map<Series, number>();
  /** Counters that were read from the storage: the process that counts begins with nothing. */
  readonly #restored = new Set<Series>();
  readonly #unstored = new Set<Series>();
  readonly #closing = new Map<Series, StoredChunk[]>();
  readonly #dirty = new Set<Series>();
  /** Rules select the same ones each time, for as long as there are no others: expressions take long to match. */
  #selected = new WeakMap<LabelTest, { readonly name: string; readonly series: readonly Series[] }>();
  #wantedPasts: readonly WantedPast[] = [];
  #lastId = 0;
  #newestMs = Number.NEGATIVE_INFINITY;
  #flushing: Promise<void> = Promise.resolve();

  private constructor(options: SeriesStoreOptions) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#storage = options.storage;
    this.#maxSeries = options.maxSeries ?? defaultMaxSeries;
  }

  /**
   * Takes up what the storage holds. One that cannot be read, or does not answer, is let be until the next start, with a line
   * in the log: what it holds under its numbers is not known, and new series would get the same ones.
   */
  static async open(options: SeriesStoreOptions): Promise<SeriesStore> {
    const store = new SeriesStore(options);
    const { clock } = options;
    try {
      await within(clock, patienceMs, () => store.#load(clock.now()));
      return store;
    } catch (error) {
      options.log.error(
        { err: error },
        "the series of metrics cannot be read: until the next start they are kept in memory only",
      );
      return new SeriesStore({ ...options, storage: { ...noSeriesStorage, close: () => options.storage.close() } });
    }
  }

  /** How many there are. */
  get size(): number {
    return this.#byKey.size;
  }

  /** How many further ones there is room for. */
  get room(): number {
    return Math.max(0, this.#maxSeries - this.#byKey.size + this.#asleep.size);
  }

  /** How many there may be. */
  get limit(): number {
    return this.#maxSeries;
  }

  /** The time of the newest sample; `-Infinity` before the first. */
  get newestMs(): number {
    return this.#newestMs;
  }

  /** The series of that name and these labels, made when there is none; undefined when there are as many as may be. */
  series(name: string, labels: Labels, kind: SeriesKind): Series | undefined {
    return this.together([{ name, labels, kind }])?.[0];
  }

  /** All of them, or none where there is no room for all. @param spare so many places are left to others */
  together(wanted: readonly SeriesIdentity[], spare = 0): readonly Series[] | undefined {
    const keyed = wanted.map((one) => ({ ...one, key: seriesKey(one.name, one.labels) }));
    const lacking = keyed.filter(({ key }) => {
      const known = this.#byKey.get(key);
      return known === undefined || this.#asleep.has(known);
    });
    if (lacking.length > 0 && lacking.length > this.room - spare) return undefined;
    return keyed.map(({ key, name, labels, kind }) => {
      const known = this.#byKey.get(key);
      if (known === undefined) return this.#make(key, name, labels, kind);
      this.#asleep.delete(known);
      return known;
    });
  }

  /**
   * Adds a sample; one that is not newer than the last is left out. Counters go on where they were when the process
   * begins anew: what is read never falls. What has a fraction is kept in single precision.
   */
  append(series: Series, timeMs: number, value: number): void {
    const { lastMs } = series;
    if (lastMs !== undefined && timeMs <= lastMs) return;
    const kept = Number.isInteger(value) ? value : Math.fround(value);
    this.#place(series, timeMs, series.kind === "counter" ? this.#rising(series, kept) : kept);
    if (timeMs > this.#newestMs) this.#newestMs = timeMs;
  }

  /** To be told each time before samples of a time are appended: whether the clock was set back. */
  advance(timeMs: number): void {
    if (timeMs < this.#newestMs - toleratedStepMs) {
      this.#log.warn({ byMs: this.#newestMs - timeMs }, "the clock was set back: samples of times to come are dropped");
      for (const series of this.#byKey.values()) {
        if ((series.lastMs ?? timeMs) > timeMs) this.#truncate(series, timeMs);
      }
      this.#newestMs = timeMs;
      void this.#storage.truncate(timeMs).catch((error: unknown) => this.#complain(error));
    }
    const oldestMs = timeMs - levels.raw.keptMs;
    for (const series of this.#byKey.values()) {
      const { closed, past } = series;
      for (let first = closed[0]; first !== undefined && first.endMs <= oldestMs; first = closed[0]) {
        past?.push(pastChunk(first));
        closed.shift();
      }
      if (past !== undefined) this.#forgetPast(series, past, timeMs);
    }
  }

  /**
   * Keeps of these counters, and of no others, what they had reached minute by minute before what is in memory: as far back
   * as they are looked at. Resolves when what the storage knows of it is there, or it has not answered for long: what it tells
   * later counts from then on.
   */
  async keepPast(wanted: readonly WantedPast[]): Promise<void> {
    await within(this.#clock, patienceMs, () => this.#readPast(wanted)).catch((error: unknown) =>
      this.#complain(error),
    );
  }

  async #readPast(wanted: readonly WantedPast[]): Promise<void> {
    this.#wantedPasts = wanted;
    const lacking: [Series, number][] = [];
    for (const series of this.#byKey.values()) {
      const windowMs = this.#pastWindowMs(series);
      if (windowMs === 0) series.past = undefined;
      else if (series.past === undefined) lacking.push([series, windowMs]);
    }
    const nowMs = this.#clock.now();
    await Promise.all(
      lacking.map(async ([series, windowMs]) => {
        // What leaves memory meanwhile comes after what is read.
        const past: ClosedChunk[] = [];
        series.past = past;
        const untilMs = (series.firstMs ?? nowMs) - 1;
        try {
          const afterMs = nowMs - windowMs - levels.raw.spanMs;
          past.unshift(...pastChunks(await this.#storage.aggregates(series.id, "minute", afterMs, untilMs)));
        } catch (error) {
          this.#complain(error);
        }
      }),
    );
  }

  /** The series of a name, or all, whose labels pass. */
  select(name: string | undefined, test: LabelTest): readonly Series[] {
    if (name === undefined) return Array.from(this.#byKey.values()).filter(({ labels }) => test(labels));
    const known = this.#selected.get(test);
    if (known?.name === name) return known.series;
    const series = Array.from(this.#byName.get(name) ?? []).filter(({ labels }) => test(labels));
    this.#selected.set(test, { name, series });
    return series;
  }

  /** The names that there are, in order. */
  names(): string[] {
    return [...this.#byName.keys()].sort();
  }

  /** What is left of the samples of times that are not in memory any more. */
  aggregates(
    series: Series,
    resolution: "minute" | "ten_minutes",
    afterMs: number,
    untilMs: number,
  ): Promise<readonly AggregateSample[]> {
    return this.#storage.aggregates(series.id, resolution, afterMs, untilMs);
  }

  /**
   * Hands to the storage what is new; of what the full hour has ended a part. What fails is tried again with the next; only
   * the log is told.
   */
  flush(): Promise<void> {
    return this.#afterFlush(Math.max(closedAtLeast, Math.ceil(this.#closing.size / closedIn)));
  }

  /** Forgets what is too old, on disk as in memory; what has had no sample for long lets go of its place. */
  async prune(): Promise<void> {
    const hour = hourOf(this.#clock.now());
    for (const series of this.#byKey.values()) {
      // Nothing else ends the last chunk of a series that gets no more samples.
      if (series.head.samples > 0 && hourOf(series.head.endMs) < hour) this.#closeHead(series);
    }
    for (const series of this.#byKey.values()) {
      if (series.firstMs === undefined && !this.#unstored.has(series)) this.#asleep.add(series);
    }
    await this.flush();
    try {
      await this.#forgetSleepers();
      const gone = new Set(await this.#storage.prune(this.#clock.now()));
      for (const [key, series] of this.#byKey) {
        if (gone.has(series.id) && series.firstMs === undefined) this.#remove(key, series);
      }
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Stores what is new, and closes the storage. One that does not answer is not waited for. */
  async close(): Promise<void> {
    const closed = this.#afterFlush(Number.POSITIVE_INFINITY).then(() => this.#storage.close());
    const over = Promise.withResolvers<"over">();
    const timer = this.#clock.setTimeout(() => over.resolve("over"), closingMs);
    try {
      if ((await Promise.race([closed, over.promise])) === "over") {
        this.#log.error({}, "the last samples of the metrics are not stored: the disk does not answer");
      }
    } finally {
      timer.cancel();
    }
  }

  /** As many that sleep are remembered as there may be others. */
  async #forgetSleepers(): Promise<void> {
    const many = this.#asleep.size - this.#maxSeries;
    if (many <= 0) return;
    const forgotten = [...this.#asleep].slice(0, many);
    for (const series of forgotten) this.#remove(seriesKey(series.name, series.labels), series);
    await this.#storage.forget(forgotten.map(({ id }) => id));
  }

  #make(key: string, name: string, labels: Labels, kind: SeriesKind): Series {
    const made = new Series(++this.#lastId, name, labels, kind);
    if (this.#pastWindowMs(made) > 0) made.past = [];
    this.#add(key, made);
    this.#unstored.add(made);
    return made;
  }

  /** How far back somebody looks; 0 for no further than memory does. */
  #pastWindowMs({ name, labels, kind }: Series): number {
    if (kind !== "counter") return 0;
    const windows = this.#wantedPasts.filter((wanted) => wanted.name === name && wanted.test(labels));
    return Math.max(0, ...windows.map(({ windowMs }) => windowMs));
  }

  #forgetPast(series: Series, past: ClosedChunk[], nowMs: number): void {
    // The one before the window tells how the counter came into it.
    const oldestMs = nowMs - this.#pastWindowMs(series) - levels.raw.spanMs;
    while (past[0] !== undefined && past[0].endMs <= oldestMs) past.shift();
  }

  #place(series: Series, timeMs: number, value: number): void {
    if (series.head.samples > 0 && hourOf(timeMs) !== hourOf(series.head.endMs)) this.#closeHead(series);
    series.append(timeMs, value);
    this.#dirty.add(series);
    this.#asleep.delete(series);
  }

  #truncate(series: Series, untilMs: number): void {
    this.#closing.delete(series);
    for (const [timeMs, value] of series.clear(untilMs)) this.#place(series, timeMs, value);
  }

  #rising(series: Series, value: number): number {
    const last = series.lastValue ?? this.#reached.get(series);
    this.#reached.delete(series);
    if (this.#restored.delete(series) && last !== undefined) {
      this.#offsets.set(series, last);
      return last + value;
    }
    const offset = this.#offsets.get(series) ?? 0;
    if (last !== undefined && value + offset < last) {
      this.#offsets.set(series, last);
      return last + value;
    }
    return value + offset;
  }

  #closeHead(series: Series): void {
    const { head } = series;
    const bytes = this.#pages.copy(head.bytes);
    const { samples, startMs, endMs } = head;
    series.closed.push({ bytes, samples, startMs, endMs });
    const waiting = this.#closing.get(series) ?? [];
    // Not those in the page, which would be sent as a whole.
    waiting.push({ ...headOf(series), closed: true });
    if (waiting.length > mostClosing) waiting.shift();
    series.startChunk();
    this.#closing.set(series, waiting);
  }

  #afterFlush(mostClosed: number): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush(mostClosed));
    return this.#flushing;
  }

  async #flush(mostClosed: number): Promise<void> {
    for (const some of this.#slices(mostClosed)) {
      const made = some.filter((one) => this.#unstored.has(one));
      const closing = some.map((one) => [one, [...(this.#closing.get(one) ?? [])]] as const);
      const chunks = closing.flatMap(([one, closed]) => [...closed, ...(one.head.samples > 0 ? [headOf(one)] : [])]);
      for (const one of some) this.#dirty.delete(one);
      try {
        await this.#storage.write(
          made.map(({ id, name, labels, kind }) => ({ id, name, labels, kind })),
          chunks,
        );
        for (const one of made) this.#unstored.delete(one);
        for (const [one, closed] of closing) this.#stored(one, new Set(closed));
      } catch (error) {
        for (const one of some) this.#dirty.add(one);
        this.#complain(error);
        return;
      }
    }
  }

  /** What is to be stored now, a few at a time. A series whose chunk has to wait does so with all that follows it. */
  #slices(mostClosed: number): Series[][] {
    const closing = [...this.#closing.keys()];
    const open = [...new Set([...this.#unstored, ...this.#dirty])].filter((one) => !this.#closing.has(one));
    const slices: Series[][] = [];
    const cut = (all: readonly Series[], size: number): void => {
      for (let from = 0; from < all.length; from += size) slices.push(all.slice(from, from + size));
    };
    cut(open, slice);
    cut(closing.slice(0, mostClosed), closedSlice);
    return slices;
  }

  #stored(series: Series, chunks: ReadonlySet<StoredChunk>): void {
    const left = this.#closing.get(series)?.filter((chunk) => !chunks.has(chunk)) ?? [];
    if (left.length === 0) this.#closing.delete(series);
    else this.#closing.set(series, left);
  }

  /** A part at a time: others have their turn while the storage reads the next. */
  async #load(nowMs: number): Promise<void> {
    for (let afterId = 0; ; ) {
      const { series, chunks, reached } = await this.#storage.load(nowMs - levels.raw.keptMs, afterId, loadSlice);
      const restored = new Map(series.map((stored) => [stored.id, this.#restore(stored)]));
      for (const [id, stored] of Map.groupBy(chunks, ({ series: number }) => number)) {
        const one = restored.get(id);
        if (one !== undefined) this.#takeUp(one, stored, nowMs);
      }
      for (const [id, value] of reached) {
        const one = restored.get(id);
        if (one !== undefined) this.#reached.set(one, value);
      }
      for (const one of restored.values()) if (one.firstMs === undefined) this.#asleep.add(one);
      if (series.length < loadSlice) return;
      afterId = series.at(-1)?.id ?? afterId;
    }
  }

  #restore({ id, name, labels, kind }: StoredSeries): Series {
    const series = new Series(id, name, labels, kind);
    this.#add(seriesKey(name, labels), series);
    this.#lastId = Math.max(this.#lastId, id);
    if (kind === "counter") this.#restored.add(series);
    return series;
  }

  /** Only the last chunk is unpacked: it goes on. */
  #takeUp(series: Series, chunks: readonly StoredChunk[], nowMs: number): void {
    // A clock that was wrong has left samples of times to come.
    const past = chunks.filter(({ startMs }) => startMs <= nowMs);
    const last = past.at(-1);
    if (last === undefined) return;
    for (const { bytes, samples, startMs, endMs } of past.slice(0, -1)) {
      series.closed.push({ bytes: this.#pages.copy(bytes), samples, startMs, endMs });
    }
    readChunk(last.bytes, last.samples, (timeMs, value) => {
      if (timeMs <= nowMs) series.append(timeMs, value);
    });
    this.#newestMs = Math.max(this.#newestMs, series.lastMs ?? this.#newestMs);
    if (hourOf(series.head.endMs) < hourOf(nowMs)) this.#closeHead(series);
  }

  #add(key: string, series: Series): void {
    this.#selected = new WeakMap();
    this.#byKey.set(key, series);
    const named = this.#byName.get(series.name);
    if (named === undefined) this.#byName.set(series.name, new Set([series]));
    else named.add(series);
  }

  #remove(key: string, series: Series): void {
    this.#selected = new WeakMap();
    this.#byKey.delete(key);
    const named = this.#byName.get(series.name);
    named?.delete(series);
    if (named?.size === 0) this.#byName.delete(series.name);
    for (const kept of [
      this.#reached,
      this.#offsets,
      this.#restored,
      this.#unstored,
      this.#closing,
      this.#dirty,
      this.#asleep,
    ])
      kept.delete(series);
  }

  #complain(error: unknown): void {
    this.#log.error({ err: error }, "the series of metrics cannot be stored; they go on in memory");
  }
}

function headOf({ id, head }: Series): StoredChunk {
  const { samples, startMs, endMs } = head;
  // A copy: the next sample may move what these bytes are a view of.
  return { series: id, samples, startMs, endMs, bytes: head.bytes.slice(), closed: false };
}

/** Chunks end with the sample at the full hour, so that no step of a coarser resolution lies in two. */
function hourOf(timeMs: number): number {
  return Math.ceil(timeMs / levels.raw.spanMs);
}
