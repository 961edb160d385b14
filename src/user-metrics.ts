import type { HistogramFamily, Instruments, NumberFamily } from "./instruments.ts";

/** What tells a series from others of its metric. */
export type UserAttributes = Readonly<Record<string, string | number | boolean>>;

export interface UserMetricOptions {
  /** As in UCUM: "s", "By", "{frame}". It becomes a part of the name in Prometheus. Default: none. */
  readonly unit?: string;
  readonly description?: string;
}

export interface UserHistogramOptions extends UserMetricOptions {
  /** The upper bounds of its buckets, ascending. Default: 5 ms to 10 s, as seconds. */
  readonly bounds?: readonly number[];
}

/**
 * Metrics of the caller's own, by name: the first use makes one. They are on `/metrics`, in the series that alert rules look
 * at, and with those who export, beside the server's. What cannot be taken is left out, with a line in the log: measuring
 * makes no run fail.
 */
export interface HandlerMetrics {
  /** A number that only grows. */
  counter(name: string, options?: UserMetricOptions): { add(value: number, attributes?: UserAttributes): void };
  /** A number that is set. */
  gauge(name: string, options?: UserMetricOptions): { record(value: number, attributes?: UserAttributes): void };
  /** How often values were between bounds. */
  histogram(name: string, options?: UserHistogramOptions): { record(value: number, attributes?: UserAttributes): void };
}

export type UserMetricKind = "counter" | "gauge" | "histogram";

export interface UserRecord extends UserHistogramOptions {
  readonly name: string;
  readonly kind: UserMetricKind;
  readonly value: number;
  readonly attributes: UserAttributes;
}

/** Why a record is not taken. */
export class UserMetricError extends Error {
  readonly reason: "INVALID_METRIC" | "METRIC_MISMATCH" | "TOO_MANY_METRICS";

  constructor(reason: UserMetricError["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Each is a family of series, of which there may be many. */
const mostMetrics = 200;

const defaultBounds: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const mostBounds = 50;
const mostAttributes = 16;
const longestValue = 256;

const namePattern = /^[A-Za-z][A-Za-z0-9_.\-/]{0,199}$/;
const unitPattern = /^[!-~]{0,63}$/;
const reserved = /^(retake|rpc|nodejs|v8js|process|otel|target)[^A-Za-z0-9]/i;

type UserFamily =
  | { readonly kind: "counter" | "gauge"; readonly cells: NumberFamily }
  | { readonly kind: "histogram"; readonly cells: HistogramFamily };

interface Metric {
  readonly name: string;
  readonly kind: UserMetricKind;
  readonly unit: string;
  readonly description: string;
  readonly bounds: readonly number[];
}

/** The metrics that handlers and callers add to. */
export class UserMetrics implements HandlerMetrics {
  readonly #instruments: Instruments | undefined;
  readonly #onRefused: (error: unknown, name: string) => void;
  readonly #redact: (text: string) => string;
  readonly #known = new Map<string, { readonly metric: Metric; readonly family: UserFamily }>();
  /** Those that have been told of: a handler makes the same mistake each time. */
  readonly #refused = new Set<string>();

  /**
   * @param instruments absent where nothing is measured: then nothing happens
   * @param onRefused told the first time that something under a name could not be taken from a handler
   * @param redact takes out of a text what must not be told; asked for the same few again and again
   */
  constructor(
    instruments: Instruments | undefined,
    onRefused: (error: unknown, name: string) => void,
    redact: (text: string) => string,
  ) {
    this.#instruments = instruments;
    this.#onRefused = onRefused;
    this.#redact = redact;
  }

  /** Whether anything is measured. */
  get enabled(): boolean {
    return this.#instruments !== undefined;
  }

  counter(name: string, options: UserMetricOptions = {}) {
    return {
      add: (value: number, attributes: UserAttributes = {}) =>
        this.#take({ ...options, name, kind: "counter", value, attributes }),
    };
  }

  gauge(name: string, options: UserMetricOptions = {}) {
    return {
      record: (value: number, attributes: UserAttributes = {}) =>
        this.#take({ ...options, name, kind: "gauge", value, attributes }),
    };
  }

  histogram(name: string, options: UserHistogramOptions = {}) {
    return {
      record: (value: number, attributes: UserAttributes = {}) =>
        this.#take({ ...options, name, kind: "histogram", value, attributes }),
    };
  }

  /** Takes all of them, or none. @throws UserMetricError */
  record(records: readonly UserRecord[]): void {
    const instruments = this.#instruments;
    if (instruments === undefined) return;
    const made = new Map<string, Metric>();
    for (const record of records) {
      assertValue(record);
      const key = keyOf(record.name);
      const known = this.#known.get(key)?.metric ?? made.get(key);
      if (known === undefined) {
        if (this.#known.size + made.size >= mostMetrics) {
          throw new UserMetricError(
            "TOO_MANY_METRICS",
            `there is no room for the metric ${record.name}: there are ${mostMetrics} of users' own, and what differs from one to the other belongs into attributes`,
          );
        }
        made.set(key, this.#metricOf(record));
      } else {
        assertSame(known, record);
      }
    }
    for (const [key, metric] of made) this.#known.set(key, { metric, family: familyOf(instruments, metric) });
    for (const record of records) {
      const family = this.#known.get(keyOf(record.name))?.family;
      if (family !== undefined) addTo(family, record.value, this.#shown(record.attributes));
    }
  }

  /** @throws UserMetricError for one that cannot be made */
  #metricOf(record: UserRecord): Metric {
    const metric = metricOf(record);
    if (this.#redact(metric.name) !== metric.name) {
      throw new UserMetricError(
        "INVALID_METRIC",
        "the name of a metric has what looks like a credential or personal data: name what is measured",
      );
    }
    return { ...metric, description: this.#redact(metric.description) };
  }

  /** Cut last: a part of what must not be told is not known for what it is. */
  #shown(attributes: UserAttributes): Readonly<Record<string, string>> {
    const some = Object.entries(attributes).slice(0, mostAttributes);
    return Object.fromEntries(
      some.map(([name, value]) => [this.#redact(name), this.#redact(String(value)).slice(0, longestValue)]),
    );
  }

  #take(record: UserRecord): void {
    try {
      this.record([record]);
    } catch (error) {
      const { name } = record;
      if (this.#refused.has(name) || this.#refused.size >= mostMetrics) return;
      this.#refused.add(name);
      this.#onRefused(error, name);
    }
  }
}

/** Names that differ in their signs alone are one in Prometheus. */
function keyOf(name: string): string {
  return name.replace(/[^A-Za-z0-9]+/g, "_");
}

function assertValue({ name, kind, value }: UserRecord): void {
  if (!Number.isFinite(value) || (kind === "counter" && value < 0)) {
    const needed = kind === "counter" ? "a finite number from 0 on" : "a finite number";
    throw new UserMetricError("INVALID_METRIC", `the metric ${name} takes ${needed}, not ${value}`);
  }
}

/** @throws UserMetricError for one that cannot be made */
function metricOf({ name, kind, unit = "", description = "", bounds = [] }: UserRecord): Metric {
  if (!namePattern.test(name)) {
    throw new UserMetricError(
      "INVALID_METRIC",
      `"${name}" is no name of a metric: it begins with a letter, and has letters, digits, "_", ".", "-" and "/", 200 at most`,
    );
  }
  if (reserved.test(name)) {
    throw new UserMetricError("INVALID_METRIC", `metrics named like ${name} are the server's own: use another prefix`);
  }
  if (!unitPattern.test(unit)) {
    throw new UserMetricError("INVALID_METRIC", `the unit of ${name} is printable ASCII without blanks, 63 at most`);
  }
  if (bounds.length > mostBounds || bounds.some((bound, i) => !isBound(bound, bounds[i - 1]))) {
    throw new UserMetricError(
      "INVALID_METRIC",
      `the bounds of ${name} must ascend and be finite, ${mostBounds} at most`,
    );
  }
  return { name, kind, unit, description, bounds: bounds.length > 0 ? [...bounds] : defaultBounds };
}

function isBound(bound: number, before = Number.NEGATIVE_INFINITY): boolean {
  return Number.isFinite(bound) && bound > before;
}

/** What a record does not say is as it is. @throws UserMetricError */
function assertSame(known: Metric, { name, kind, unit = "", bounds = [] }: UserRecord): void {
  const differs = (what: string): UserMetricError =>
    new UserMetricError("METRIC_MISMATCH", `the metric ${name} exists, and has ${what}: use that, or another name`);
  if (known.name !== name) throw differs(`the name ${known.name}, which is the same in Prometheus`);
  if (known.kind !== kind) throw differs(`the kind ${known.kind}`);
  if (unit !== "" && known.unit !== unit) throw differs(known.unit === "" ? "no unit" : `the unit ${known.unit}`);
  if (
    bounds.length > 0 &&
    (bounds.length !== known.bounds.length || bounds.some((bound, i) => bound !== known.bounds[i]))
  ) {
    throw differs(`the bounds ${known.bounds.join(", ")}`);
  }
}

function familyOf(instruments: Instruments, { name, kind, unit, description, bounds }: Metric): UserFamily {
  const about = { name, unit, description };
  if (kind === "histogram") return { kind, cells: instruments.histogram(about, bounds) };
  return { kind, cells: kind === "counter" ? instruments.counter(about) : instruments.gauge(about) };
}

function addTo(family: UserFamily, value: number, shown: Readonly<Record<string, string>>): void {
  switch (family.kind) {
    case "counter":
      family.cells.with(shown).value += value;
      return;
    case "gauge":
      family.cells.with(shown).value = value;
      return;
    case "histogram":
      family.cells.with(shown).record(value);
  }
}
