const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** How finely time is divided: as samples come, and what is left of them later. */
export type Resolution = "raw" | "minute" | "ten_minutes";

export interface Level {
  /** As it is stored. */
  readonly level: number;
  /** The length of one step; undefined for samples as they come. */
  readonly stepMs?: number;
  /** How long it is kept. */
  readonly keptMs: number;
  /** What one row of it spans. */
  readonly spanMs: number;
}

/** How often samples are taken. */
export const sampleIntervalMs = 10 * second;

export const levels: Readonly<Record<Resolution, Level>> = {
  raw: { level: 0, keptMs: 6 * hour, spanMs: hour },
  minute: { level: 1, stepMs: minute, keptMs: 7 * day, spanMs: 6 * hour },
  ten_minutes: { level: 2, stepMs: 10 * minute, keptMs: 90 * day, spanMs: 2 * day },
};

/** The finest resolution that still knows of a time. */
export function resolutionFor(fromMs: number, nowMs: number): Resolution {
  const ageMs = nowMs - fromMs;
  if (ageMs <= levels.raw.keptMs) return "raw";
  return ageMs <= levels.minute.keptMs ? "minute" : "ten_minutes";
}
