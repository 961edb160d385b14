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
export function metricName(name: string, unit: string, kind: "gauge" | "counter" | "histogram"): string {
  let base = sanitized(name, /[^a-zA-Z0-9:_]/g).replace(/_total$/, "");
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

/** The name of a label. */
export function labelName(attribute: string): string {
  return sanitized(attribute, /[^a-zA-Z0-9_]/g);
}

function sanitized(name: string, forbidden: RegExp): string {
  const clean = name
    .replace(forbidden, "_")
    .replace(/_{2,}/g, "_")
    .replace(/^_+|_+$/g, "");
  return /^\d/.test(clean) ? `_${clean}` : clean;
}
