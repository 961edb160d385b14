/** What a metric is, in the words of OpenTelemetry. */
export interface MetricDescription {
  readonly name: string;
  /** As in UCUM. */
  readonly unit: string;
  readonly description: string;
  /** The attributes of its series, in the order in which `of` takes their values. Default: none. */
  readonly attributes?: readonly string[];
}

/** Values of attributes, by name. The object is the same for as long as its series is there. */
export type MetricAttributes = Readonly<Record<string, string | boolean>>;

/** One series that is a number. */
export interface NumberCell {
  readonly attributes: MetricAttributes;
  value: number;
}

/** What happened when a value was recorded: for the way from a bucket to a trace and a run. */
export interface Exemplar {
  value: number;
  timeMs: number;
  /** Empty where nobody keeps the trace. */
  traceId: string;
  runId: string;
  /** The span, where it does not follow from the run. */
  spanId: string;
  /** Of the run, whose span it is; 0 for the run's own. */
  attempt: number;
}

/** At most so often a series remembers whose call it was: reading that costs more than counting. */
const exemplarIntervalMs = 1_000;

/** One series that is a histogram. Plain numbers, because it is fed several times a run. */
export class HistogramCell {
  readonly attributes: MetricAttributes;
  readonly bounds: readonly number[];
  readonly counts: number[];
  /** By bucket, where anything was recorded with a trace or a run. */
  readonly exemplars: (Exemplar | undefined)[] = [];
  sum = 0;
  count = 0;
  #lastExemplarMs = Number.NEGATIVE_INFINITY;

  constructor(attributes: MetricAttributes, bounds: readonly number[]) {
    this.attributes = attributes;
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  /**
   * Whether it is time for another exemplar, for whoever gives it some now and then only.
   * @param nowMs by the monotonic clock
   */
  isExemplarDue(nowMs: number): boolean {
    if (nowMs - this.#lastExemplarMs < exemplarIntervalMs) return false;
    this.#lastExemplarMs = nowMs;
    return true;
  }

  record(value: number, timeMs = 0, traceId = "", runId = "", spanId = "", attempt = 0): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
    this.count++;
    if (traceId === "" && runId === "") return;
    const known = this.exemplars[bucket];
    if (known === undefined) {
      this.exemplars[bucket] = { value, timeMs, traceId, runId, spanId, attempt };
      return;
    }
    known.value = value;
    known.timeMs = timeMs;
    known.traceId = traceId;
    known.runId = runId;
    known.spanId = spanId;
    known.attempt = attempt;
  }
}

export type NumberKind = "counter" | "up_down_counter" | "gauge";

/** The attributes of the series that stands for all that there was no room for, as OpenTelemetry has it. */
const overflowAttributes: MetricAttributes = { "otel.metric.overflow": true };

/** The series of one metric, by the values of its attributes. One more than the limit is the same for all that follow. */
abstract class Family<Cell> {
  readonly description: MetricDescription;
  readonly #limit: number;
  readonly #cells = new Map<string, Cell>();
  #overflow: Cell | undefined;

  constructor(description: MetricDescription, limit: number) {
    this.description = description;
    this.#limit = limit;
  }

  /** The series with these values of the attributes; an empty one leaves its attribute out. */
  of(...values: readonly string[]): Cell {
    const key = values.length === 1 ? (values[0] as string) : values.join("\u0000");
    return this.#cells.get(key) ?? this.#cell(key, () => this.#attributesOf(values));
  }

  /** The series with these attributes, whichever they are: for a metric that does not say which it has. */
  with(attributes: MetricAttributes): Cell {
    const names = Object.keys(attributes).sort();
    const key = names.map((name) => `${name}\u0000${String(attributes[name])}`).join("\u0001");
    return this.#cell(key, () => Object.fromEntries(names.map((name) => [name, attributes[name] ?? ""])));
  }

  *cells(): Iterable<Cell> {
    yield* this.#cells.values();
    if (this.#overflow !== undefined) yield this.#overflow;
  }

  /** Lets series go. */
  protected retain(wanted: (cell: Cell) => boolean): void {
    for (const [key, cell] of this.#cells) if (!wanted(cell)) this.#cells.delete(key);
    if (this.#overflow !== undefined && !wanted(this.#overflow)) this.#overflow = undefined;
  }

  protected abstract make(attributes: MetricAttributes): Cell;

  #cell(key: string, attributes: () => MetricAttributes): Cell {
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      if (this.#cells.size >= this.#limit) {
        this.#overflow ??= this.make(overflowAttributes);
        return this.#overflow;
      }
      cell = this.make(attributes());
      this.#cells.set(key, cell);
    }
    return cell;
  }

  #attributesOf(values: readonly string[]): MetricAttributes {
    const attributes: Record<string, string> = {};
    for (const [i, name] of (this.description.attributes ?? []).entries()) {
      const value = values[i];
      if (value !== undefined && value !== "") attributes[name] = value;
    }
    return attributes;
  }
}

/** A metric whose series are numbers. */
export class NumberFamily extends Family<NumberCell> {
  readonly kind: NumberKind;
  readonly #observe: ((set: SetValue) => void) | undefined;

  constructor(description: MetricDescription, limit: number, kind: NumberKind, observe?: (set: SetValue) => void) {
    super(description, limit);
    this.kind = kind;
    this.#observe = observe;
  }

  /** Asks for the values of today, where they are asked for. What is not told is gone. */
  refresh(): void {
    if (this.#observe === undefined) return;
    const told = new Set<NumberCell>();
    this.#observe((value, ...values) => {
      const cell = this.of(...values);
      // Several may share the one that stands for all that there was no room for.
      cell.value = told.has(cell) ? cell.value + value : value;
      told.add(cell);
    });
    this.retain((cell) => told.has(cell));
  }

  protected override make(attributes: MetricAttributes): NumberCell {
    return { attributes, value: 0 };
  }
}

/** A metric whose series are histograms. */
export class HistogramFamily extends Family<HistogramCell> {
  readonly kind = "histogram";
  readonly bounds: readonly number[];

  constructor(description: MetricDescription, limit: number, bounds: readonly number[]) {
    super(description, limit);
    this.bounds = bounds;
  }

  protected override make(attributes: MetricAttributes): HistogramCell {
    return new HistogramCell(attributes, this.bounds);
  }
}

/** Says what a series has now, by the values of its attributes. */
export type SetValue = (value: number, ...values: readonly string[]) => void;

export type MetricFamily = NumberFamily | HistogramFamily;

/**
 * The metrics that this program makes itself. OpenTelemetry's SDK costs a microsecond or two for each value, which is much
 * of what an empty run takes; here whoever counts adds to a number, and only who collects pays more.
 */
export class Instruments {
  readonly #limit: number;
  readonly #families = new Map<string, MetricFamily>();

  /** @param cardinalityLimit how many series one metric may have */
  constructor(cardinalityLimit: number) {
    this.#limit = cardinalityLimit;
  }

  /** A number that only grows. */
  counter(description: MetricDescription): NumberFamily {
    return this.#add(new NumberFamily(description, this.#limit, "counter"));
  }

  /** A number that is set. */
  gauge(description: MetricDescription): NumberFamily {
    return this.#add(new NumberFamily(description, this.#limit, "gauge"));
  }

  /** What is asked for when somebody collects. */
  observed(kind: NumberKind, description: MetricDescription, observe: (set: SetValue) => void): void {
    this.#add(new NumberFamily(description, this.#limit, kind, observe));
  }

  histogram(description: MetricDescription, bounds: readonly number[]): HistogramFamily {
    return this.#add(new HistogramFamily(description, this.#limit, bounds));
  }

  /** All metrics, with the values of today. One that cannot be asked keeps what it had. */
  collect(onError: (error: unknown) => void): readonly MetricFamily[] {
    const families = [...this.#families.values()];
    for (const family of families) {
      if (family.kind === "histogram") continue;
      try {
        family.refresh();
      } catch (error) {
        onError(error);
      }
    }
    return families;
  }

  #add<T extends MetricFamily>(family: T): T {
    const { name } = family.description;
    if (this.#families.has(name)) throw new TypeError(`there are two metrics named ${name}`);
    this.#families.set(name, family);
    return family;
  }
}
