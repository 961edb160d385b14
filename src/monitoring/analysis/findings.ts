import { create } from "@bufbuild/protobuf";
import {
  type Anomaly,
  AnomalySchema,
  type ReportSeries,
  ReportSeriesSchema,
  type Trend,
  TrendSchema,
} from "../../../gen/retake/v1/report_pb.js";
import { durationFromMs, timestampFromMs } from "../../runs/index.ts";
import { findAnomalies } from "./anomaly.ts";
import type { Breathe } from "./breathe.ts";
import type { Curve } from "./curves.ts";
import { explainAnomaly, explainTrend, type Shown } from "./explain.ts";
import { stepEndMs } from "./steps.ts";
import { findTrend } from "./trend.ts";

/** More than anybody reads. */
const mostFindings = 50;

/** A curve for those who draw it. */
export function seriesMessage({ id, title, name, unit, steps }: Curve): ReportSeries {
  return create(ReportSeriesSchema, {
    ...{ id, title: `${title.charAt(0).toUpperCase()}${title.slice(1)}`, name, unit },
    firstTime: timestampFromMs(steps.firstMs),
    step: durationFromMs(steps.stepMs),
    // Six digits are more than a picture shows, and the same for whoever compares two reports.
    values: steps.values.map((value) => Number(value.toPrecision(6))),
  });
}

/** What runs out soonest first, then what changes most of what it was. */
export async function trendsIn(curves: readonly Curve[], breathe: Breathe): Promise<Trend[]> {
  const found: { readonly message: Trend; readonly inMs: number; readonly change: number }[] = [];
  for (const curve of curves) {
    if (curve.trend === undefined) continue;
    await breathe();
    const trend = findTrend(curve.steps, curve.trend);
    if (trend === undefined) continue;
    const { from, to, p, points, slopePerHour, slopeRange, exhaustion } = trend;
    const lastMs = stepEndMs(curve.steps, curve.steps.values.length - 1);
    const message = create(TrendSchema, {
      ...{ title: curve.title, name: curve.name, unit: curve.unit, from, to, p, points, slopePerHour },
      ...{ lowSlopePerHour: slopeRange[0], highSlopePerHour: slopeRange[1] },
      ...(curve.trend.limit !== undefined && { limit: curve.trend.limit }),
      ...(exhaustion && { exhaustionTime: timestampFromMs(lastMs + exhaustion.inMs) }),
      explanation: explainTrend(shown(curve), trend),
    });
    const change = Math.abs(to - from) / Math.max(Math.abs(from), Math.abs(to));
    found.push({ message, inMs: exhaustion?.inMs ?? Number.POSITIVE_INFINITY, change });
  }
  return found
    .sort((a, b) => (a.inMs === b.inMs ? b.change - a.change : a.inMs - b.inMs))
    .slice(0, mostFindings)
    .map(({ message }) => message);
}

/** Newest first. */
export async function anomaliesIn(curves: readonly Curve[], breathe: Breathe): Promise<Anomaly[]> {
  const found: { readonly message: Anomaly; readonly endMs: number }[] = [];
  for (const curve of curves) {
    if (curve.anomaly === undefined) continue;
    await breathe();
    for (const anomaly of findAnomalies(curve.steps, curve.anomaly)) {
      const { startMs, endMs, ongoing, peak, usual, deviation, band } = anomaly;
      const message = create(AnomalySchema, {
        ...{ title: curve.title, name: curve.name, unit: curve.unit, ongoing, peak, usual, deviation },
        ...{ low: band[0], high: band[1] },
        startTime: timestampFromMs(startMs),
        endTime: timestampFromMs(endMs),
        explanation: explainAnomaly(shown(curve), anomaly),
      });
      found.push({ message, endMs });
    }
  }
  return found
    .sort((a, b) => b.endMs - a.endMs)
    .slice(0, mostFindings)
    .map(({ message }) => message);
}

function shown({ title, name, unit }: Curve): Shown {
  return { title: name === "" ? title : `${title} (${name})`, unit };
}
