export type MetricKind = "gauge" | "counter" | "histogram";

/** What Prometheus calls the units of OpenTelemetry (UCUM) that are in use here and in the semantic conventions. */
const unitNames: Readonly<Record<string, string>> = {
  ...{ d: "days", h: "hours", min: "minutes", s: "seconds", ms: "milliseconds", us: "microseconds", ns: "nanoseconds" },
  ...{ By: "bytes", KiBy: "kibibytes", MiBy: "mebibytes", GiBy: "gibibytes", KBy: "kilobytes", MBy: "megabytes" },
  ...{ GBy: "gigabytes", B: "bytes", KB: "kilobytes", MB: "megabytes", GB: "gigabytes" },
  ...{ m: "meters", V: "volts", A: "amperes", J: "joules", W: "watts", g: "grams", Cel: "celsius", Hz: "hertz" },
  ...{ "1": "", "%": "percent" },
};

const perNames: Readonly<Record<string, string>> = {
  ...{ s: "second", m: "minute", min: "minute", h: "hour", d: "day", w: "week", mo: "month", y: "year" },
};

/**
 * The name of a metric in Prometheus, as OpenTelemetry's compatibility specification has it: dots become underscores, the
 * unit is appended, counters end in `_total`, and gauges of the unit 1 in `_ratio`.
 */
export function metricName(name: string, unit: string, kind: MetricKind): string {
  let base = sanitized(name, /[^a-zA-Z0-9:_]/g).replace(/_total$/, "") || nameless;
  const suffix = unitSuffix(unit);
  if (suffix !== "" && !base.endsWith(`_${suffix}`) && base !== suffix) base += `_${suffix}`;
  if (kind === "gauge" && unit === "1" && !base.endsWith("_ratio")) base += "_ratio";
  return kind === "counter" ? `${base}_total` : base;
}

/** The unit as metric names carry it; empty for none. */
export function unitSuffix(unit: string): string {
  const [of = "", per] = unit.replace(/\{[^}]*\}/g, "").split("/", 2);
  const name = unitNames[of] ?? sanitized(of, /[^a-zA-Z0-9_]/g);
  return per === undefined || per === ""
    ? name
    : `${name}${name && "_"}per_${perNames[per] ?? sanitized(per, /[^a-zA-Z0-9_]/g)}`;
}

/** The name of a label. Those that are given to series here are given a prefix, as Prometheus does. */
export function labelName(attribute: string): string {
  const name = sanitized(attribute, /[^a-zA-Z0-9_]/g) || nameless;
  return ownLabel.test(name) ? `exported_${name}` : name;
}

/** Those that histograms and summaries have by themselves, and those that tell meters apart. */
const ownLabel = /^(le|quantile|otel_scope_(name|version|schema_url))$/;

/** The labels that tell the series of a meter from those of other meters. What is empty is no label. */
export function scopeLabels({ name, version, schemaUrl }: Scope): Readonly<Record<string, string>> {
  return {
    ...(name !== "" && { otel_scope_name: name }),
    ...(version && { otel_scope_version: version }),
    ...(schemaUrl && { otel_scope_schema_url: schemaUrl }),
  };
}

interface Scope {
  readonly name: string;
  readonly version?: string;
  readonly schemaUrl?: string;
}

/** What nothing is left of, because it has no letters that Prometheus knows. */
const nameless = "unnamed";

/**
 * The names that the samples of metrics have, of which each belongs to one: a gauge `x_count` is not to be taken for a part of
 * the histogram `x`.
 */
export class SampleNames {
  readonly #owners = new Map<string, string>();

  /** Whether a metric, by its name in Prometheus, may have the names of its samples; the first has. */
  claim(name: string, kind: MetricKind): boolean {
    const wanted = sampleNames(name, kind);
    const owner = `${kind} ${name}`;
    if (wanted.some((each) => (this.#owners.get(each) ?? owner) !== owner)) return false;
    for (const each of wanted) this.#owners.set(each, owner);
    return true;
  }
}

function sampleNames(name: string, kind: MetricKind): readonly string[] {
  if (kind === "gauge") return [name];
  if (kind === "histogram") return ["", "_bucket", "_count", "_sum", "_created"].map((suffix) => name + suffix);
  const base = name.replace(/_total$/, "");
  return [base, name, `${base}_created`];
}

function sanitized(name: string, forbidden: RegExp): string {
  const clean = name
    .replace(forbidden, "_")
    .replace(/_{2,}/g, "_")
    .replace(/^_+|_+$/g, "");
  return /^\d/.test(clean) ? `_${clean}` : clean;
}
