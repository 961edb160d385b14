import type { Samples } from "./statistics.ts";

/** How a counter has risen over samples in order, with all that PromQL's rates need to know of them. */
export interface Rise {
  readonly firstMs: number;
  readonly first: number;
  readonly lastMs: number;
  readonly last: number;
  /** As many as were taken; a coarser sample stands for several. */
  readonly samples: number;
  /** What had been counted each time that it began anew. */
  readonly reset: number;
}

export function riseOf({ timesMs, values }: Samples): Rise | undefined {
  const rising = new Rising();
  for (const [i, value] of values.entries()) rising.add(timesMs[i] ?? Number.NaN, value);
  return rising.rise;
}

/** Takes many samples, with nothing to allocate for each. */
export class Rising {
  readonly #each: number;
  #firstMs = 0;
  #first = 0;
  #lastMs = 0;
  #last = 0;
  #samples = 0;
  #reset = 0;

  /** @param each how many samples each of them stands for */
  constructor(each = 1) {
    this.#each = each;
  }

  add(timeMs: number, value: number): void {
    if (this.#samples === 0) {
      this.#firstMs = timeMs;
      this.#first = value;
    } else if (value < this.#last) {
      this.#reset += this.#last;
    }
    this.#lastMs = timeMs;
    this.#last = value;
    this.#samples += this.#each;
  }

  /** Undefined where there were none. */
  get rise(): Rise | undefined {
    if (this.#samples === 0) return undefined;
    return {
      ...{ firstMs: this.#firstMs, first: this.#first, lastMs: this.#lastMs, last: this.#last },
      ...{ samples: this.#samples, reset: this.#reset },
    };
  }
}

/** With one more sample, which may stand for several. */
export function risen(rise: Rise | undefined, timeMs: number, value: number, samples = 1): Rise {
  if (rise === undefined) return { firstMs: timeMs, first: value, lastMs: timeMs, last: value, samples, reset: 0 };
  return {
    ...{ firstMs: rise.firstMs, first: rise.first, lastMs: timeMs, last: value },
    samples: rise.samples + samples,
    reset: value < rise.last ? rise.reset + rise.last : rise.reset,
  };
}

/** Of samples and those that follow them. */
export function joinRises(a: Rise | undefined, b: Rise | undefined): Rise | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    ...{ firstMs: a.firstMs, first: a.first, lastMs: b.lastMs, last: b.last, samples: a.samples + b.samples },
    reset: a.reset + (b.first < a.last ? a.last : 0) + b.reset,
  };
}

/**
 * By how much a counter rose in a window, resets taken out, and stretched to the window's ends as Prometheus does it
 * (`extrapolatedRate`): by at most half a sample's distance where samples end well within the window, and never below 0.
 */
export function stretchedIncrease(
  { firstMs, first, lastMs, last, samples, reset }: Rise,
  { afterMs, untilMs }: { readonly afterMs: number; readonly untilMs: number },
): number | undefined {
  if (samples < 2 || lastMs === firstMs) return undefined;
  const increase = last - first + reset;
  const sampledSeconds = (lastMs - firstMs) / 1_000;
  const distance = sampledSeconds / (samples - 1);
  const threshold = distance * 1.1;
  let toStart = (firstMs - afterMs) / 1_000;
  let toEnd = (untilMs - lastMs) / 1_000;
  if (toStart >= threshold) toStart = distance / 2;
  if (increase > 0 && first >= 0) {
    // The counter was 0 at some time: not stretched beyond.
    toStart = Math.min(toStart, sampledSeconds * (first / increase));
  }
  if (toEnd >= threshold) toEnd = distance / 2;
  return increase * ((sampledSeconds + toStart + toEnd) / sampledSeconds);
}
