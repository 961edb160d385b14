import { median, medianAbsoluteDeviation } from "simple-statistics";
import { type Steps, stepEndMs } from "./steps.ts";

export interface AnomalyOptions {
  /** Half of the band at least, in the unit of the values: who never moves need not be alarming when it does so a little. */
  readonly floor: number;
  /** On which side it matters. Default: on both. */
  readonly side?: "above" | "below";
}

/** A time in which values were not what they usually are. */
export interface Anomaly {
  readonly side: "above" | "below";
  readonly startMs: number;
  readonly endMs: number;
  /** How many steps it lasted. */
  readonly steps: number;
  /** Whether it lasts. */
  readonly ongoing: boolean;
  /** The value that is farthest from the usual one. */
  readonly peak: number;
  /** The median of all. */
  readonly usual: number;
  /** The median of the distances from it, as the deviation of a normal distribution. */
  readonly deviation: number;
  /** Between which values nothing is unusual. */
  readonly band: readonly [low: number, high: number];
}

/** That many tell what is usual. */
const fewestPoints = 20;

/** One or two samples are noise, and over when somebody looks. */
const fewestSteps = 3;

/** Deviations that are usual: of normal values less than one in a million is farther off. */
const width = 5;

/** The deviation of a normal distribution is that many times its median absolute deviation. */
const normalScale = 1.4826;

/** A part of what is usual that is never alarming. */
const relativeFloor = 0.1;

/** The times in which a series was not what it usually is, in order. */
export function findAnomalies(steps: Steps, { floor, side }: AnomalyOptions): Anomaly[] {
  const known = steps.values.filter((value) => !Number.isNaN(value));
  if (known.length < fewestPoints) return [];
  const usual = median(known);
  const deviation = medianAbsoluteDeviation(known) * normalScale;
  const half = Math.max(width * deviation, floor, relativeFloor * Math.abs(usual));
  const band = [usual - half, usual + half] as const;
  const sideOf = (value: number): Anomaly["side"] | undefined => {
    if (value > band[1]) return side === "below" ? undefined : "above";
    if (value < band[0]) return side === "above" ? undefined : "below";
    return undefined;
  };
  const found: Anomaly[] = [];
  for (let from = 0; from < steps.values.length; ) {
    const here = sideOf(steps.values[from] as number);
    let to = from + 1;
    while (to < steps.values.length && sideOf(steps.values[to] as number) === here) to++;
    if (here !== undefined && to - from >= fewestSteps) {
      const own = steps.values.slice(from, to);
      found.push({
        side: here,
        startMs: stepEndMs(steps, from) - steps.stepMs,
        endMs: stepEndMs(steps, to - 1),
        steps: to - from,
        ongoing: to === steps.values.length,
        peak: here === "above" ? Math.max(...own) : Math.min(...own),
        ...{ usual, deviation, band },
      });
    }
    from = to;
  }
  return found;
}
