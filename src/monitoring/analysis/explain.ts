import type { Anomaly } from "./anomaly.ts";
import { durationText, quantityText } from "./quantity.ts";
import type { Trend } from "./trend.ts";

/** What a series shows, in words. */
export interface Shown {
  /** As the subject of a sentence: "free disk space". */
  readonly title: string;
  /** As in UCUM. */
  readonly unit: string;
}

/** A trend in one sentence, with the numbers that led to it. */
export function explainTrend({ title, unit }: Shown, trend: Trend): string {
  const { direction, from, to, spanMs, slopePerHour, points, p, tau, exhaustion } = trend;
  const verb = direction === "rising" ? "rises" : "falls";
  const parts = [
    `${capital(title)} ${verb} by ${quantityText(Math.abs(slopePerHour), unit)} an hour`,
    `from ${quantityText(from, unit)} to ${quantityText(to, unit)} within ${durationText(spanMs / 1_000)}`,
  ];
  if (exhaustion !== undefined) {
    const { limit, inMs, rangeMs } = exhaustion;
    const [soonest, latest] = rangeMs;
    const range =
      latest === Number.POSITIVE_INFINITY
        ? `in ${durationText(soonest / 1_000)} at the earliest`
        : `between ${durationText(soonest / 1_000)} and ${durationText(latest / 1_000)}`;
    parts.push(
      `and reaches ${quantityText(limit, unit)} in ${durationText(inMs / 1_000)} if it goes on like that (${range}, with a confidence of 95 %)`,
    );
  }
  return `${parts.join(", ")}: the median slope of ${points} points (Theil-Sen), with a Mann-Kendall tau of ${tau.toFixed(2)} and p ${chance(p)}.`;
}

/** An anomaly in one sentence, with the numbers that led to it. */
export function explainAnomaly({ title, unit }: Shown, anomaly: Anomaly): string {
  const { side, startMs, endMs, steps, ongoing, peak, usual, deviation, band } = anomaly;
  const bound = side === "above" ? band[1] : band[0];
  const when = `${ongoing ? "has been" : "was"} ${side} ${quantityText(bound, unit)} for ${durationText((endMs - startMs) / 1_000)} (${steps} samples in a row)`;
  const extreme = `${side === "above" ? "at most" : "at least"} ${quantityText(peak, unit)}`;
  return `${capital(title)} ${when}, ${extreme}, where ${quantityText(usual, unit)} is usual: the median, from which half of all samples are no farther than ${quantityText(deviation / 1.4826, unit)}.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function chance(p: number): string {
  return p < 0.0001 ? "< 0.0001" : `= ${Number(p.toPrecision(2))}`;
}
