import type { MetricDescription } from "./series-collector.ts";
import type { SeriesStore } from "./series-store.ts";

const everything = (): boolean => true;

const histogramParts = ["_bucket", "_count", "_sum"] as const;

/** The metrics that there are series of, by name: those of an earlier process too, of which there is no description. */
export function listMetrics(
  store: Pick<SeriesStore, "names" | "select">,
  described: ReadonlyMap<string, MetricDescription>,
): readonly MetricDescription[] {
  const names = new Set(store.names());
  const found = new Map<string, MetricDescription>();
  for (const name of names) {
    const base = baseOf(name, names, described);
    if (found.has(base)) continue;
    const kind = base === name ? (store.select(name, everything)[0]?.kind ?? "gauge") : "histogram";
    found.set(base, described.get(base) ?? { name: base, kind, unit: "", description: "" });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The metric that a series is a part of. */
function baseOf(name: string, names: ReadonlySet<string>, described: ReadonlyMap<string, MetricDescription>): string {
  if (described.has(name)) return name;
  for (const part of histogramParts) {
    if (!name.endsWith(part)) continue;
    const base = name.slice(0, -part.length);
    const known = described.get(base);
    if (known === undefined ? histogramParts.every((each) => names.has(base + each)) : known.kind === "histogram") {
      return base;
    }
  }
  return name;
}
