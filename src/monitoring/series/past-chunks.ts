import { Aggregates } from "./aggregates.ts";
import { ChunkWriter, readChunk } from "./chunk.ts";
import { levels, sampleIntervalMs } from "./resolutions.ts";
import { joinRises, type Rise, Rising, risen } from "./rise.ts";

/** Samples that take no more, in a page that many series share. */
export interface ClosedChunk {
  readonly bytes: Uint8Array;
  readonly samples: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Of all of them; there once somebody has asked. */
  rise?: Rise | undefined;
}

/** What is kept of a counter before the samples that are in memory as they came: what it had reached at each minute. */
export const pastStepMs = levels.minute.stepMs ?? Number.NaN;

/** So many samples one of the past stands for. */
const samplesAStep = pastStepMs / sampleIntervalMs;

/** A chunk as it is when it is past. */
export function pastChunk({ bytes, samples }: Pick<ClosedChunk, "bytes" | "samples">): ClosedChunk {
  const steps = new Aggregates(pastStepMs);
  readChunk(bytes, samples, (timeMs, value) => steps.add(timeMs, value));
  return packed(steps.end().map(({ timeMs, last }) => [timeMs, last]));
}

/** What is read from the storage, by hours. */
export function pastChunks(samples: readonly { readonly timeMs: number; readonly last: number }[]): ClosedChunk[] {
  const byHour = Map.groupBy(samples, ({ timeMs }) => Math.ceil(timeMs / levels.raw.spanMs));
  return Array.from(byHour.values(), (hour) => packed(hour.map(({ timeMs, last }) => [timeMs, last])));
}

/**
 * How a counter rose in what is past of a window. Between two minutes it is taken to have risen evenly: the first sample is
 * the one that would have been the first in the window.
 */
export function pastRise(past: readonly ClosedChunk[], afterMs: number): Rise | undefined {
  const begin = past.findIndex(({ endMs }) => endMs > afterMs);
  const first = past[begin];
  if (first === undefined) return undefined;
  const before = past[begin - 1];
  let rise: Rise | undefined;
  if (first.startMs > afterMs && (before === undefined || first.startMs - before.endMs > pastStepMs)) {
    rise = wholeRise(first, samplesAStep);
  } else {
    let [lastMs, last] =
      before === undefined ? [Number.NaN, Number.NaN] : [before.endMs, wholeRise(before, samplesAStep).last];
    readChunk(first.bytes, first.samples, (timeMs, value) => {
      if (timeMs > afterMs) {
        rise ??= between({ lastMs, last, timeMs, value }, afterMs);
        if (rise.lastMs < timeMs) rise = risen(rise, timeMs, value, samplesAStep);
      }
      [lastMs, last] = [timeMs, value];
    });
  }
  for (const chunk of past.slice(begin + 1)) rise = joinRises(rise, wholeRise(chunk, samplesAStep));
  return rise;
}

/** Of a whole chunk, worked out once. */
export function wholeRise(chunk: ClosedChunk, samplesEach: number): Rise {
  if (chunk.rise === undefined) {
    const rising = new Rising(samplesEach);
    readChunk(chunk.bytes, chunk.samples, (timeMs, value) => rising.add(timeMs, value));
    chunk.rise = rising.rise;
  }
  // No chunk is closed without a sample.
  return chunk.rise as Rise;
}

interface Step {
  readonly lastMs: number;
  readonly last: number;
  readonly timeMs: number;
  readonly value: number;
}

/** Up to the first minute after the beginning of a window. */
function between({ lastMs, last, timeMs, value }: Step, afterMs: number): Rise {
  const firstMs = (Math.floor(afterMs / sampleIntervalMs) + 1) * sampleIntervalMs;
  const isStep = timeMs - lastMs <= pastStepMs && value >= last;
  if (!isStep || firstMs >= timeMs) return risen(undefined, timeMs, value);
  const first = last + ((value - last) * (firstMs - lastMs)) / (timeMs - lastMs);
  return risen(risen(undefined, firstMs, first), timeMs, value, (timeMs - firstMs) / sampleIntervalMs);
}

function packed(samples: readonly (readonly [timeMs: number, value: number])[]): ClosedChunk {
  const chunk = new ChunkWriter();
  for (const [timeMs, value] of samples) chunk.append(timeMs, value);
  return { bytes: chunk.bytes.slice(), samples: chunk.samples, startMs: chunk.startMs, endMs: chunk.endMs };
}
