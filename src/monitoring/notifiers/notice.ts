import { createHash } from "node:crypto";
import type { Severity } from "../alerts/rule.ts";
import type { Labels } from "../series/series.ts";

/** What is told of an alert. */
export interface Notice {
  /** The same for everything that is told of one alert while it lasts. */
  readonly fingerprint: string;
  readonly status: "firing" | "resolved";
  readonly severity: Severity;
  /** With `alertname` and `severity`. */
  readonly labels: Labels;
  readonly annotations: Labels;
  /** NaN where there is none. */
  readonly value: number;
  /** Since when it fires. */
  readonly startMs: number;
  /** Since when it is over; absent while it fires. */
  readonly endMs?: number;
  /** Who looks after it. */
  readonly acknowledgedBy?: string;
  /** What it was told with before. To whom labels are what an alert is, those alerts are over. */
  readonly before?: readonly EndedLabels[];
}

export interface EndedLabels {
  readonly labels: Labels;
  readonly endMs: number;
}

/** What an alert is known by to those who are told: whatever its severity is at the moment. */
export function fingerprintOf(rule: string, key: string): string {
  return createHash("sha256").update(`${rule}\u0000${key}`).digest("hex").slice(0, 32);
}

/** One line for people. */
export function noticeTitle({ status, severity, labels, annotations }: Notice): string {
  const state = status === "resolved" ? "RESOLVED" : severity.toUpperCase();
  return `[${state}] ${annotations["summary"] ?? labels["alertname"] ?? "alert"}`;
}
