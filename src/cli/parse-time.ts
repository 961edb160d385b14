import { UsageError } from "./cli-error.ts";

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `90s`, `1h30m`, `7d`, in ms. @throws UsageError naming the flag */
export function parseDuration(flag: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)];
  if (text === "" || parts.map(([part]) => part).join("") !== text) {
    throw new UsageError(`${flag}: "${text}" is no duration; one looks like 90s, 30m, 1h30m or 7d`);
  }
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ""] ?? 0), 0);
}

/**
 * A point in time: so long ago (`2h`), or a date with or without a time of day, local unless it says otherwise
 * (`2026-11-22`, `2026-11-22T10:00`, `2026-11-22T10:00Z`). In ms since the epoch. @throws UsageError naming the flag
 */
export function parseTime(flag: string, text: string, nowMs: number): number {
  if (/^\d+(\.\d+)?[a-z]/.test(text)) return nowMs - parseDuration(flag, text);
  // JavaScript takes a date alone for UTC, and one with a time for local.
  const date = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text.replace(" ", "T");
  const ms = /^\d{4}-\d{2}-\d{2}T/.test(date) ? Date.parse(date) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new UsageError(
      `${flag}: "${text}" is no time; one looks like 2h (so long ago), 2026-11-22 or 2026-11-22T10:00`,
    );
  }
  return ms;
}
