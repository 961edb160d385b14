/** A series in steps of one length. NaN where nothing is known of a step. */
export interface Steps {
  /** The end of the first step. */
  readonly firstMs: number;
  readonly stepMs: number;
  readonly values: readonly number[];
}

/** Where a window is cut. */
export interface StepGrid {
  /** The end of the first step. */
  readonly firstMs: number;
  readonly stepMs: number;
  readonly count: number;
}

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Steps that people count in. None is shorter than what samples of that age are apart. */
const stepLengths = [
  ...[10 * second, 30 * second, minute, 2 * minute, 5 * minute, 10 * minute, 12 * minute, 15 * minute, 30 * minute],
  ...[hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day],
];

/** As many as a picture has room for, and a trend is found in within milliseconds. */
const mostSteps = 120;

/** Cuts a window into at most 120 steps; what is left over at its beginning is left out. */
export function stepGrid(window: { readonly afterMs: number; readonly untilMs: number }): StepGrid {
  const length = window.untilMs - window.afterMs;
  const stepMs = stepLengths.find((each) => length / each <= mostSteps) ?? day;
  const count = Math.max(1, Math.floor(length / stepMs));
  return { firstMs: window.untilMs - (count - 1) * stepMs, stepMs, count };
}

/** The end of a step. */
export function stepEndMs({ firstMs, stepMs }: Pick<Steps, "firstMs" | "stepMs">, index: number): number {
  return firstMs + index * stepMs;
}

/** Steps as points of which something is known. */
export function knownPoints(steps: Steps): { readonly timesMs: number[]; readonly values: number[] } {
  const timesMs: number[] = [];
  const values: number[] = [];
  for (const [index, value] of steps.values.entries()) {
    if (Number.isNaN(value)) continue;
    timesMs.push(stepEndMs(steps, index));
    values.push(value);
  }
  return { timesMs, values };
}
