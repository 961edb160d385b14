import { DataPointType, type MetricData, type ScopeMetrics } from "@opentelemetry/sdk-metrics";
import type { Logger } from "../../runs/index.ts";
import { isOwnScope } from "../telemetry/instruments-producer.ts";
import { type MetricKind, metricName, SampleNames, scopeLabels, unitSuffix } from "./metric-name.ts";

/** All that has one name in Prometheus, and so one type, whoever measures it. */
export interface MetricFamily {
  readonly name: string;
  readonly kind: MetricKind;
  /** As in OpenTelemetry (UCUM). */
  readonly unit: string;
  readonly description: string;
  readonly members: readonly FamilyMember[];
}

/** What one meter measures under a name. */
export interface FamilyMember {
  /** What tells its series from those of other meters; empty for the server's own and what handlers measure by their context. */
  readonly scope: ScopeLabels;
  readonly metric: MetricData;
}

export interface ScopeLabels {
  /** The same for the same labels. */
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
}

const noLabels: ScopeLabels = { key: "", labels: {} };

type Described = Pick<MetricFamily, "name" | "kind" | "unit" | "description">;

/**
 * Metrics by their names in Prometheus, for `/metrics` and for the series alike. Meters share a name, each with labels of its
 * own, as OpenTelemetry's compatibility specification has it. The first that has a name says what kind it is for the life of
 * the process: what is of another kind, or has the names of another's samples, is left out, and the log says so once.
 */
export class MetricFamilies {
  readonly #log: Pick<Logger, "warn">;
  readonly #names = new SampleNames();
  readonly #described = new Map<string, Described>();
  readonly #scopes = new WeakMap<ScopeMetrics["scope"], ScopeLabels>();
  readonly #told = new Set<string>();

  constructor(log: Pick<Logger, "warn">) {
    this.#log = log;
    // What is told of all series together.
    for (const own of ["target", "target_info"]) this.#names.claim(own, "gauge");
  }

  /** What there is now. The server's own come first: no user's metric takes a name from them. */
  of(scopeMetrics: readonly ScopeMetrics[]): readonly MetricFamily[] {
    const families = new Map<string, Described & { readonly members: FamilyMember[] }>();
    const taken = new Set<string>();
    const own = scopeMetrics.filter(({ scope }) => isOwnScope(scope));
    const others = scopeMetrics.filter(({ scope }) => !isOwnScope(scope));
    for (const { scope, metrics } of [...own, ...others]) {
      const labels = this.#labelsOf(scope);
      for (const metric of metrics) {
        const described = this.#describe(metric, scope);
        if (described === undefined) continue;
        const place = described.name + labels.key;
        if (taken.has(place)) {
          this.#leaveOut(described.name, metric, scope);
          continue;
        }
        taken.add(place);
        const family = families.get(described.name);
        if (family === undefined) families.set(described.name, { ...described, members: [{ scope: labels, metric }] });
        else family.members.push({ scope: labels, metric });
      }
    }
    return [...families.values()];
  }

  #describe(metric: MetricData, scope: ScopeMetrics["scope"]): Described | undefined {
    const kind = kindOf(metric);
    if (kind === undefined) return undefined;
    const { description, unit } = metric.descriptor;
    const name = metricName(metric.descriptor.name, unit, kind);
    const known = this.#described.get(name);
    if (known?.kind === kind) {
      if (unitSuffix(known.unit) !== unitSuffix(unit)) this.#tellUnit(known, metric, scope);
      return known;
    }
    if (!this.#names.claim(name, kind)) return this.#leaveOut(name, metric, scope);
    const described = { name, kind, unit, description };
    this.#described.set(name, described);
    return described;
  }

  #leaveOut(name: string, { descriptor }: MetricData, scope: ScopeMetrics["scope"]): undefined {
    if (!this.#isNews("left out", name, descriptor.name, scope)) return;
    const told = { metric: descriptor.name, ...scopeOf(scope), name };
    this.#log.warn(told, "a metric is left out: in Prometheus its samples have the names of another's");
  }

  /** The specification drops no samples for it: the name says the unit. */
  #tellUnit({ name, unit }: Described, { descriptor }: MetricData, scope: ScopeMetrics["scope"]): void {
    if (!this.#isNews("unit", name, descriptor.name, scope)) return;
    const told = { metric: descriptor.name, ...scopeOf(scope), name, unit: descriptor.unit, shownUnit: unit };
    this.#log.warn(told, "a metric is shown with the unit of another one, which has the same name in Prometheus");
  }

  #isNews(what: string, name: string, metric: string, scope: ScopeMetrics["scope"]): boolean {
    const key = JSON.stringify([what, name, metric, this.#labelsOf(scope).key]);
    if (this.#told.has(key)) return false;
    this.#told.add(key);
    return true;
  }

  #labelsOf(scope: ScopeMetrics["scope"]): ScopeLabels {
    if (isOwnScope(scope)) return noLabels;
    let known = this.#scopes.get(scope);
    if (known === undefined) {
      const labels = scopeLabels(scope);
      known = { labels, key: Object.keys(labels).length === 0 ? "" : JSON.stringify(labels) };
      this.#scopes.set(scope, known);
    }
    return known;
  }
}

function scopeOf(scope: ScopeMetrics["scope"]): { readonly meter?: string } {
  return isOwnScope(scope) ? {} : { meter: scope.name };
}

function kindOf(metric: MetricData): MetricKind | undefined {
  switch (metric.dataPointType) {
    case DataPointType.GAUGE:
      return "gauge";
    case DataPointType.SUM:
      return metric.isMonotonic ? "counter" : "gauge";
    case DataPointType.HISTOGRAM:
      return "histogram";
    default:
      // No view of ours makes exponential histograms.
      return undefined;
  }
}
