import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since the epoch. */
export function timestampMs(timestamp: Timestamp): number {
  return Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}

export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Local time: `2026-11-22 10:02:13`. */
export function showTime(ms: number): string {
  const date = new Date(ms);
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => two(part)).join("-");
  return `${day} ${showClock(ms)}`;
}

/** Local time of day: `10:02:13`. */
export function showClock(ms: number): string {
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
}

/** A point in time from where we stand: `in 4 s`, `3 min 12 s ago`. */
export function showDistance(ms: number, nowMs: number): string {
  const distanceMs = ms - nowMs;
  if (Math.abs(distanceMs) < 1000) return "now";
  return distanceMs > 0 ? `in ${showDuration(distanceMs)}` : `${showDuration(-distanceMs)} ago`;
}

/** `123 ms`, `12.4 s`, `3 min 05 s`, `2 h 03 min`, `4 d 11 h`. */
export function showDuration(ms: number): string {
  if (ms < 0.95) return `${Math.round(ms * 1000)} µs`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The same for what is shown while it changes: whole seconds. */
export function showSeconds(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 60 ? `${seconds} s` : showDuration(seconds * 1000);
}

function two(part: number): string {
  return String(part).padStart(2, "0");
}
