import { type Labels, seriesKey } from "../series/series.ts";
import type { Evaluation, GroupValue } from "./evaluate.ts";
import { type Rule, type Severity, severities, type Threshold } from "./rule.ts";
import { inactive, isFiring, type TrackerState, track } from "./tracker.ts";

/** Why an alert is there: its number, or that there is none, or that none can be worked out. */
export type AlertCause = "threshold" | "no_data" | "error";

/** One alert of a rule: a group of series, with a severity that moves. */
export interface Alert {
  readonly rule: string;
  readonly cause: AlertCause;
  /** Of the group. Those of the rule come on top of them when people are told. */
  readonly labels: Labels;
  readonly trackers: Readonly<Record<Severity, TrackerState>>;
  /** The newest number that there was. */
  readonly value: number;
}

/** What an alert is to people: one state and one severity. */
export interface AlertView {
  readonly state: TrackerState["kind"];
  readonly severity: Severity;
}

/** How an alert has moved in one evaluation. */
export interface AlertChange {
  readonly key: string;
  readonly before: AlertView;
  readonly alert: Alert;
  readonly after: AlertView;
}

/** What has come of one evaluation of a rule. */
export interface RuleMoves {
  readonly changes: readonly AlertChange[];
  /** How many groups there is no room for; absent where there was no group to find room for. */
  readonly leftOut?: number;
  readonly error?: unknown;
}

/** The highest severity that fires; else the one that is on its way to. */
export function viewAlert({ trackers }: Pick<Alert, "trackers">): AlertView {
  for (const kinds of [firingKinds, pendingKinds, resolvedKinds]) {
    for (const severity of ["critical", "warning"] as const) {
      const { kind } = trackers[severity];
      if (kinds.has(kind)) return { state: kind, severity };
    }
  }
  return { state: "inactive", severity: "warning" };
}

const firingKinds: ReadonlySet<string> = new Set(["firing", "recovering"]);
const pendingKinds: ReadonlySet<string> = new Set(["pending"]);
const resolvedKinds: ReadonlySet<string> = new Set(["resolved"]);

/** Of one rule at once, those not counted that are over: nobody looks at more, and each is told, listed and stored. */
export const mostAlerts = 500;

/** The alerts of one rule, evaluation by evaluation. It holds nothing else: give it its alerts and it goes on. */
export class RuleAlerts {
  readonly rule: Rule;
  readonly #alerts = new Map<string, Alert>();

  constructor(rule: Rule, alerts: Iterable<Alert> = []) {
    this.rule = rule;
    for (const alert of alerts) this.#alerts.set(RuleAlerts.keyOf(alert), alert);
  }

  /** What tells an alert from the others of its rule. */
  static keyOf({ cause, labels }: Pick<Alert, "cause" | "labels">): string {
    return keyOf(cause, labels);
  }

  /** Those that are not inactive. */
  get alerts(): ReadonlyMap<string, Alert> {
    return this.#alerts;
  }

  /** Goes by the numbers that the rule has at a time, and tells what has moved. The first error among them is told. */
  follow({ values, errors, failure: whole }: Evaluation, nowMs: number): RuleMoves {
    let failure = whole;
    for (const error of errors.values()) failure ??= { error };
    const changes: AlertChange[] = [];
    const { noData, onError } = this.rule;
    const policy = whole !== undefined ? onError : failure === undefined && values.size === 0 ? noData : "ok";
    // Without samples there is no number that could go on to fire: the alert that there is none takes the place of the others.
    const isGone = failure === undefined && policy === "alert";
    // One group whose expression has no value says nothing about the others.
    const kept = onError === "ok" ? noGroups : errors;
    const leftOut = policy === "ok" || isGone ? this.#stepAll(values, kept, nowMs, changes) : undefined;
    this.#stepAbsence("no_data", isGone, nowMs, changes);
    this.#stepAbsence("error", failure !== undefined && onError === "alert", nowMs, changes);
    return { changes, ...(leftOut !== undefined && values.size > 0 && { leftOut }), ...failure };
  }

  /**
   * @param kept groups that stay as they are
   * @returns how many groups there is no room for
   */
  #stepAll(
    values: ReadonlyMap<string, GroupValue>,
    kept: Pick<ReadonlyMap<string, unknown>, "has">,
    nowMs: number,
    changes: AlertChange[],
  ): number {
    let leftOut = 0;
    let room = this.#room();
    for (const [group, { labels, value }] of values) {
      const known = this.#alerts.get(group);
      const hits = (severity: Severity): boolean => this.#isHit(severity, value, known);
      // Most groups are well at most times.
      if (known === undefined) {
        if (!hits("warning") && !hits("critical")) continue;
        if (room === 0) {
          leftOut++;
          continue;
        }
        room--;
      }
      this.#step(group, { cause: "threshold", labels, value }, hits, nowMs, changes);
    }
    for (const [key, { cause, labels, value }] of this.#alerts) {
      if (cause === "threshold" && !values.has(key) && !kept.has(key)) {
        this.#step(key, { cause, labels, value }, () => false, nowMs, changes);
      }
    }
    return leftOut;
  }

  /** For how many more. */
  #room(): number {
    if (this.#alerts.size < mostAlerts) return mostAlerts - this.#alerts.size;
    let over = 0;
    for (const alert of this.#alerts.values()) if (viewAlert(alert).state === "resolved") over++;
    // Of those that are over not more either.
    return Math.max(0, Math.min(mostAlerts + over, 2 * mostAlerts) - this.#alerts.size);
  }

  #stepAbsence(cause: "no_data" | "error", hit: boolean, nowMs: number, changes: AlertChange[]): void {
    const key = keyOf(cause, {});
    if (!hit && !this.#alerts.has(key)) return;
    const worst = severities.findLast((severity) => this.rule.thresholds[severity] !== undefined);
    this.#step(key, { cause, labels: {}, value: Number.NaN }, (severity) => hit && severity === worst, nowMs, changes);
  }

  #step(
    key: string,
    about: Pick<Alert, "cause" | "labels" | "value">,
    hits: (severity: Severity) => boolean,
    nowMs: number,
    changes: AlertChange[],
  ): void {
    const known = this.#alerts.get(key);
    const before = known?.trackers ?? noTrackers;
    const trackers = {
      warning: track(before.warning, hits("warning"), nowMs, this.rule),
      critical: track(before.critical, hits("critical"), nowMs, this.rule),
    };
    const alert: Alert = { rule: this.rule.name, ...about, trackers };
    if (trackers.warning.kind === "inactive" && trackers.critical.kind === "inactive") this.#alerts.delete(key);
    else this.#alerts.set(key, alert);
    if (trackers.warning !== before.warning || trackers.critical !== before.critical) {
      changes.push({ key, before: viewAlert({ trackers: before }), alert, after: viewAlert(alert) });
    }
  }

  #isHit(severity: Severity, value: number, known: Alert | undefined): boolean {
    const threshold = this.rule.thresholds[severity];
    if (threshold === undefined) return false;
    const firing = known !== undefined && isFiring(known.trackers[severity]);
    return exceeds(this.rule.comparison, value, threshold, firing);
  }
}

/** What fires goes on until its number is past the threshold for being well again. */
function exceeds(comparison: Rule["comparison"], value: number, { at, clear }: Threshold, firing: boolean): boolean {
  const limit = firing ? clear : at;
  return comparison === "above" ? value > limit : value < limit;
}

const noGroups: ReadonlySet<string> = new Set();

const noTrackers: Alert["trackers"] = { warning: inactive, critical: inactive };

/** Groups have the key of their labels. */
function keyOf(cause: AlertCause, labels: Labels): string {
  return cause === "threshold" ? seriesKey("", labels) : `\u0001${cause}`;
}
