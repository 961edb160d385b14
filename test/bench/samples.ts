import type { SubjectSample } from "../../bench/figures.ts";

/** What a round tells about a subject: nothing but this. */
export function sample(known: Partial<SubjectSample>): SubjectSample {
  return {
    callsPerSecond: Number.NaN,
    cpuMicrosPerCall: Number.NaN,
    eventLoopDelayP99Ms: Number.NaN,
    generatorBusy: Number.NaN,
    p50Micros: Number.NaN,
    p99Micros: Number.NaN,
    ...known,
  };
}
