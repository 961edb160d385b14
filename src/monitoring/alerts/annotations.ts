import type { Labels } from "../series/series.ts";

/**
 * An annotation with what it stands for: `{{ $value }}` and `{{ $labels.NAME }}`, each with a filter if it likes, as in
 * Prometheus: `{{ $value | humanizePercentage }}`. What is nothing of that stays as it is.
 */
export function fillIn(template: string, labels: Labels, value: number): string {
  return template.replace(placeholder, (whole, label: string | undefined, filter: string | undefined) => {
    const text = label === undefined ? String(value) : (labels[label] ?? "");
    if (filter === undefined) return text;
    const apply = filters[filter];
    return apply === undefined ? whole : apply(Number(text));
  });
}

const placeholder = /\{\{ ?\$(?:value|labels\.([A-Za-z_][A-Za-z0-9_]*))(?: ?\| ?([A-Za-z0-9]+))? ?\}\}/g;

/** Prometheus's own, to the letter where a number has four digits that count. */
const filters: Readonly<Record<string, (value: number) => string>> = {
  humanize: (value) =>
    scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E", "Z", "Y"], ["", "m", "u", "n", "p", "f", "a", "z", "y"]),
  humanize1024: (value) => scaled(value, 1024, ["", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"], [""]),
  humanizeDuration: duration,
  humanizePercentage: (value) => `${digits(value * 100)}%`,
};

function scaled(value: number, base: number, large: readonly string[], small: readonly string[]): string {
  if (value === 0 || !Number.isFinite(value)) return digits(value);
  let [scale, index] = [value, 0];
  while (Math.abs(scale) >= base && index < large.length - 1) {
    scale /= base;
    index++;
  }
  if (index > 0 || Math.abs(scale) >= 1 || small.length === 1) return `${digits(scale)}${large[index]}`;
  while (Math.abs(scale) < 1 && index < small.length - 1) {
    scale *= base;
    index++;
  }
  return `${digits(scale)}${small[index]}`;
}

function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return digits(seconds);
  if (seconds === 0) return "0s";
  const sign = seconds < 0 ? "-" : "";
  const length = Math.abs(seconds);
  if (length < 1) return `${sign}${scaled(length, 1000, [""], ["", "m", "u", "n", "p"])}s`;
  if (length < 60) return `${sign}${digits(length)}s`;
  const whole = Math.floor(length);
  const [days, hours, minutes] = [
    Math.floor(whole / 86_400),
    Math.floor(whole / 3_600) % 24,
    Math.floor(whole / 60) % 60,
  ];
  const parts = `${hours}h ${minutes}m ${whole % 60}s`;
  if (days > 0) return `${sign}${days}d ${parts}`;
  return hours > 0 ? `${sign}${parts}` : `${sign}${minutes}m ${whole % 60}s`;
}

/** Four digits that count, as `%.4g`. */
function digits(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(Number(value.toPrecision(4)));
}
