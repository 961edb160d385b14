import type { Labels } from "../series/series.ts";

/**
 * An annotation with what it stands for: `{{ $value }}` and `{{ $labels.NAME }}`, each with a filter if it likes, as in
 * Prometheus: `{{ $value | humanizePercentage }}`. What is nothing of that stays as it is.
 */
export function fillIn(template: string, labels: Labels, value: number): string {
  return replaced(template, {
    known: (_, label, apply) => {
      const text = label === undefined ? String(value) : (labels[label] ?? "");
      return apply === undefined ? text : apply(Number(text));
    },
    unknown: opening,
  });
}

/** The same for Prometheus, which takes no rule with a placeholder that is unknown to it: those are text there too. */
export function annotationForPrometheus(template: string): string {
  return replaced(template, { known: (whole) => whole, unknown: openingForPrometheus });
}

/** A label, which is text here and a template there. */
export function labelForPrometheus(text: string): string {
  return text.replaceAll(opening, openingForPrometheus);
}

/** @throws TypeError for what looks like a placeholder and is none */
export function assertPlaceholders(template: string): void {
  // As long as before, so that places stay the same.
  const rest = replaced(template, { known: (whole) => " ".repeat(whole.length), unknown: opening });
  const at = rest.indexOf(opening);
  if (at === -1) return;
  const end = template.indexOf("}}", at);
  const found = template.slice(at, Math.min(end === -1 ? template.length : end + 2, at + longestQuote));
  throw new TypeError(
    `${JSON.stringify(found)} is no placeholder: there are {{ $value }} and {{ $labels.NAME }}, ` +
      `and with a filter {{ $value | NAME }}, which is one of ${Object.keys(filters).join(", ")}`,
  );
}

const longestQuote = 100;

/** Where templates of Prometheus begin, wherever it stands. */
export const opening = "{{";

const openingForPrometheus = '{{ "{{" }}';

const placeholder = /\{\{ ?\$(?:value|labels\.([A-Za-z_][A-Za-z0-9_]*))(?: ?\| ?([A-Za-z0-9]+))? ?\}\}/y;

type Filter = (value: number) => string;

/** A template with something for each of its placeholders, and for each beginning of one that there is not. */
function replaced(
  template: string,
  by: {
    readonly known: (whole: string, label: string | undefined, filter: Filter | undefined) => string;
    readonly unknown: string;
  },
): string {
  let text = "";
  let from = 0;
  for (let at = template.indexOf(opening); at !== -1; at = template.indexOf(opening, from)) {
    text += template.slice(from, at);
    placeholder.lastIndex = at;
    const [whole = opening, label, filter] = placeholder.exec(template) ?? [];
    const known = whole !== opening && (filter === undefined || Object.hasOwn(filters, filter));
    text += known ? by.known(whole, label, filters[filter ?? ""]) : by.unknown;
    from = at + (known ? whole.length : opening.length);
  }
  return text + template.slice(from);
}

/** Prometheus's own, to the letter where a number has four digits that count. */
const filters: Readonly<Record<string, Filter>> = {
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
