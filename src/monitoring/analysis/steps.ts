/** A series in steps of one length. NaN where nothing is known of a step. */
export interface Steps {
  /** The end of the first step. */
  readonly firstMs: number;
  readonly stepMs: number;
  readonly values: readonly number[];
}

/** Where a window is cut: `count` steps that end at `untilMs`. */
export interface StepGrid {
  readonly afterMs: number;
  readonly stepMs: number;
  readonly count: number;
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
