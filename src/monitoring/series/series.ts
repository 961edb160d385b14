import { ChunkWriter, readChunk } from "./chunk.ts";
import { type ClosedChunk, pastRise, wholeRise } from "./past-chunks.ts";
import { joinRises, type Rise, Rising, risen } from "./rise.ts";

/** A gauge goes up and down; a counter only up, and its rate is what matters. */
export type SeriesKind = "gauge" | "counter";

export type Labels = Readonly<Record<string, string>>;

/** What alert rules look at most, within reach without decoding: five minutes of samples at 10 s, and some more. */
const recentSamples = 32;

/** One series, of which the samples of the last hours are in memory. Times ascend. */
export class Series {
  readonly id: number;
  readonly name: string;
  readonly labels: Labels;
  readonly kind: SeriesKind;
  readonly closed: ClosedChunk[] = [];
  /** What a counter had reached minute by minute before `closed`, where somebody looks that far back. */
  past: ClosedChunk[] | undefined;
  /** Of what is in the head so far; there once somebody has asked. */
  #headRise: Rise | undefined;
  #head = new ChunkWriter();
  /** Times and values in turn, as a ring. */
  readonly #recent = new Float64Array(2 * recentSamples);
  #taken = 0;

  constructor(id: number, name: string, labels: Labels, kind: SeriesKind) {
    this.id = id;
    this.name = name;
    this.labels = labels;
    this.kind = kind;
  }

  /** Takes the next samples. */
  get head(): ChunkWriter {
    return this.#head;
  }

  /** Of the newest sample; undefined before the first. */
  get lastMs(): number | undefined {
    return this.#taken === 0 ? undefined : this.#recentAt(this.#taken - 1, 0);
  }

  /** The newest sample's value; undefined before the first. */
  get lastValue(): number | undefined {
    return this.#taken === 0 ? undefined : this.#recentAt(this.#taken - 1, 1);
  }

  /** Of the oldest sample in memory. */
  get firstMs(): number | undefined {
    return this.closed[0]?.startMs ?? (this.#head.samples > 0 ? this.#head.startMs : undefined);
  }

  /** What was in the head must be in `closed`. */
  startChunk(): void {
    this.#head = new ChunkWriter();
    this.#headRise = undefined;
  }

  append(timeMs: number, value: number): void {
    this.#head.append(timeMs, value);
    const place = 2 * (this.#taken % recentSamples);
    this.#recent[place] = timeMs;
    this.#recent[place + 1] = value;
    this.#taken++;
  }

  /** Calls for each sample after `afterMs` and up to `untilMs`, in order: those that PromQL's ranges hold. */
  read(afterMs: number, untilMs: number, visit: (timeMs: number, value: number) => void): void {
    if (this.#isRecent(afterMs)) {
      const recent = this.#recent;
      for (let i = Math.max(0, this.#taken - recentSamples); i < this.#taken; i++) {
        const place = 2 * (i % recentSamples);
        const timeMs = recent[place] as number;
        if (timeMs > untilMs) return;
        if (timeMs > afterMs) visit(timeMs, recent[place + 1] as number);
      }
      return;
    }
    const within = (timeMs: number, value: number): void => {
      if (timeMs > afterMs && timeMs <= untilMs) visit(timeMs, value);
    };
    for (const { bytes, samples, startMs, endMs } of this.closed) {
      if (startMs > untilMs) return;
      if (endMs > afterMs) readChunk(bytes, samples, within);
    }
    readChunk(this.#head.bytes, this.#head.samples, within);
  }

  /**
   * How a counter rose after `afterMs` and up to `untilMs`, at little cost whatever lies between them. Before what is in
   * memory as it came it is told by its past, if that is kept.
   */
  rise(afterMs: number, untilMs: number): Rise | undefined {
    let rise = this.past && pastRise(this.past, afterMs);
    const { lastMs } = this;
    if (lastMs === undefined || this.#isRecent(afterMs)) {
      const recent = new Rising();
      this.read(afterMs, untilMs, (timeMs, value) => recent.add(timeMs, value));
      return joinRises(rise, recent.rise);
    }
    for (const chunk of this.closed) {
      if (chunk.startMs > untilMs) return rise;
      const isWhole = chunk.startMs > afterMs && chunk.endMs <= untilMs;
      if (isWhole) rise = joinRises(rise, wholeRise(chunk, 1));
      else if (chunk.endMs > afterMs) rise = joinRises(rise, riseWithin(chunk, afterMs, untilMs));
    }
    if (this.#head.startMs > afterMs && lastMs <= untilMs) return joinRises(rise, this.#riseOfHead());
    return joinRises(rise, riseWithin(this.#head, afterMs, untilMs));
  }

  /** Forgets everything, and tells what there was up to a time. */
  clear(untilMs: number): readonly (readonly [timeMs: number, value: number])[] {
    const kept: [number, number][] = [];
    this.read(Number.NEGATIVE_INFINITY, untilMs, (timeMs, value) => kept.push([timeMs, value]));
    this.closed.length = 0;
    this.startChunk();
    this.past = this.past?.filter(({ endMs }) => endMs <= untilMs);
    this.#taken = 0;
    return kept;
  }

  /** Whether all samples after a time are within reach. */
  #isRecent(afterMs: number): boolean {
    if (this.#taken === 0) return false;
    const oldest = Math.max(0, this.#taken - recentSamples);
    if (this.#recentAt(oldest, 0) <= afterMs) return true;
    // What was there before a restart is in chunks alone.
    return oldest === 0 && (this.closed.at(-1)?.endMs ?? afterMs) <= afterMs;
  }

  #riseOfHead(): Rise | undefined {
    const { samples } = this.#head;
    const missing = samples - (this.#headRise?.samples ?? 0);
    if (missing > recentSamples) {
      this.#headRise = riseWithin(this.#head, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    } else {
      for (let i = this.#taken - missing; i < this.#taken; i++) {
        this.#headRise = risen(this.#headRise, this.#recentAt(i, 0), this.#recentAt(i, 1));
      }
    }
    return this.#headRise;
  }

  #recentAt(index: number, part: 0 | 1): number {
    return this.#recent[2 * (index % recentSamples) + part] ?? Number.NaN;
  }
}

function riseWithin(
  { bytes, samples }: Pick<ClosedChunk, "bytes" | "samples">,
  afterMs: number,
  untilMs: number,
): Rise | undefined {
  const rising = new Rising();
  const visit = (timeMs: number, value: number): void => {
    if (timeMs > afterMs) rising.add(timeMs, value);
  };
  readChunk(bytes, samples, visit, untilMs);
  return rising.rise;
}

/** The same for every order of the labels, and for no other series. */
export function seriesKey(name: string, labels: Labels): string {
  const names = Object.keys(labels);
  if (names.length === 0) return name;
  if (names.length > 1) names.sort();
  let key = name;
  for (const label of names) {
    const value = labels[label] ?? "";
    // With its length, because a value may hold anything.
    key += `\u0000${label}\u0000${value.length}\u0000${value}`;
  }
  return key;
}
