import { quantityText } from "../../monitoring/analysis/index.ts";
import { type Html, html } from "./html.ts";
import { timeText, workflowName } from "./text.ts";

/** One line of a picture. */
export interface ChartLine {
  readonly name: string;
  /** One for each step; NaN for a gap. */
  readonly values: readonly number[];
  /** Which colour it has: a number of the palette. */
  readonly colour: number;
}

export interface Chart {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly ChartLine[];
  /** The end of the first step. */
  readonly firstMs: number;
  readonly stepMs: number;
}

const width = 640;
const height = 210;
const left = 74;
const right = 20;
const top = 10;
const bottom = 26;
const plotWidth = width - left - right;
const plotHeight = height - top - bottom;

/** A picture of lines over time, with what it shows in words and as a table. */
export function lineChart(chart: Chart): Html {
  const { id, title, unit, lines, firstMs, stepMs } = chart;
  const count = Math.max(...lines.map(({ values }) => values.length));
  const known = lines.flatMap(({ values }) => values.filter((value) => !Number.isNaN(value)));
  if (known.length === 0) return html``;
  const ticks = valueTicks(Math.max(...known), unit);
  const most = ticks.at(-1) ?? 1;
  const x = (index: number): number => left + (count === 1 ? plotWidth / 2 : (index * plotWidth) / (count - 1));
  const y = (value: number): number => top + plotHeight * (1 - value / most);
  const lastMs = firstMs + (count - 1) * stepMs;
  const rows = lines.map((line) => ({ line, ...lineSummary(line, unit) }));
  const description = `${title} from ${timeText(firstMs)} to ${timeText(lastMs)} UTC. ${rows.map(({ words }) => words).join(" ")}`;
  return html`<figure>
<figcaption>${title}</figcaption>
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-desc">
<title id="${id}-title">${title}</title>
<desc id="${id}-desc">${description}</desc>
${ticks.map(
  (
    tick,
  ) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${round(y(tick))}" y2="${round(y(tick))}"/><text class="tick" x="${left - 8}" y="${round(y(tick) + 4)}" text-anchor="end">${quantityText(tick, tickUnit(unit))}</text>
`,
)}
${timeTicks(firstMs, lastMs).map(({ timeMs, text }) => {
  const at = round(lastMs === firstMs ? x(0) : left + ((timeMs - firstMs) * plotWidth) / (lastMs - firstMs));
  const anchor = Number(at) > width - 40 ? "end" : "middle";
  return html`<line class="mark" x1="${at}" x2="${at}" y1="${top + plotHeight}" y2="${top + plotHeight + 4}"/><text class="tick" x="${anchor === "end" ? width - 2 : at}" y="${height - 7}" text-anchor="${anchor}">${text}</text>
`;
})}
${lines.map(({ values, colour }) => segments(values).map((segment) => drawn(segment, colour, x, y, top + plotHeight, lines.length === 1)))}
</svg>
<div class="scroll" role="region" aria-label="${title} in numbers" tabindex="0"><table class="legend">
<thead><tr><th scope="col">${unitWords(unit)}</th><th scope="col" class="number">lowest</th><th scope="col" class="number">mean</th><th scope="col" class="number">highest</th><th scope="col" class="number">last</th></tr></thead>
<tbody>
${rows.map(
  ({
    line,
    cells,
  }) => html`<tr><th scope="row"><svg class="key" viewBox="0 0 10 10" aria-hidden="true" focusable="false"><rect class="c${line.colour}" width="10" height="10" rx="2"/></svg>${line.name.includes("/") ? workflowName(line.name) : line.name || title}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>
`,
)}</tbody>
</table></div>
</figure>
`;
}

/** Points without a gap between them. */
type Segment = readonly { readonly index: number; readonly value: number }[];

function segments(values: readonly number[]): Segment[] {
  const found: { index: number; value: number }[][] = [];
  let open = false;
  for (const [index, value] of values.entries()) {
    if (Number.isNaN(value)) {
      open = false;
      continue;
    }
    if (!open) found.push([]);
    found.at(-1)?.push({ index, value });
    open = true;
  }
  return found;
}

function drawn(
  segment: Segment,
  colour: number,
  x: (index: number) => number,
  y: (value: number) => number,
  floor: number,
  isAlone: boolean,
): Html {
  const points = segment.map(({ index, value }) => `${round(x(index))},${round(y(value))}`);
  const [first, last] = [segment[0]?.index ?? 0, segment.at(-1)?.index ?? 0];
  if (points.length === 1) {
    const [cx = "", cy = ""] = points[0]?.split(",") ?? [];
    return html`<circle class="dot c${colour}" cx="${cx}" cy="${cy}" r="2.5"/>
`;
  }
  const area = `M${round(x(first))},${floor} L${points.join(" L")} L${round(x(last))},${floor} Z`;
  return html`${isAlone ? html`<path class="area c${colour}" d="${area}"/>` : undefined}<polyline class="line c${colour}" points="${points.join(" ")}"/>
`;
}

function lineSummary({ name, values }: ChartLine, unit: string): { readonly words: string; readonly cells: string[] } {
  const known = values.filter((value) => !Number.isNaN(value));
  const last = values.findLast((value) => !Number.isNaN(value));
  if (known.length === 0 || last === undefined) return { words: "", cells: ["–", "–", "–", "–"] };
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const cells = [Math.min(...known), mean, Math.max(...known), last].map((value) =>
    quantityText(value, tickUnit(unit)),
  );
  const [lowest, average, highest, newest] = cells;
  const subject = name === "" ? "" : `${name}: `;
  return { words: `${subject}${lowest} to ${highest}, ${average} on average, ${newest} last.`, cells };
}

/** What is counted is said once, above the numbers. */
function tickUnit(unit: string): string {
  return unit.startsWith("{") ? "" : unit;
}

function unitWords(unit: string): string {
  switch (unit) {
    case "By":
    case "s":
      return "";
    case "1":
      return "share";
    default:
      return quantityText(2, unit).replace(/^2 ?/, "");
  }
}

/** From 0 on, at numbers that people like. */
export function valueTicks(most: number, unit: string): number[] {
  if (most <= 0) return [0, unit === "1" ? 0.1 : 1];
  // Bytes are counted in powers of two, and read in them.
  const scale = unit === "By" ? 1024 ** Math.floor(Math.log2(most) / 10) : 1;
  const raw = most / scale / 4;
  const step = (unit === "s" && raw > 12 ? niceTime(raw) : niceNumber(raw)) * scale;
  const whole = unit.startsWith("{") && !unit.includes("/") && step < 1 ? 1 : step;
  const count = Math.max(1, Math.ceil((most / whole) * 0.999));
  return Array.from({ length: count + 1 }, (_, index) => Number((index * whole).toPrecision(12)));
}

function niceNumber(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 2.5, 5, 10].find((each) => each * power >= least * 0.999) ?? 10) * power;
}

/** In seconds, as clocks are divided. */
function niceTime(least: number): number {
  const seconds = [15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];
  return seconds.find((each) => each >= least * 0.999) ?? niceNumber(least / 86_400) * 86_400;
}

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** Times that clocks and calendars have names for, some five of them. */
export function timeTicks(firstMs: number, lastMs: number): { readonly timeMs: number; readonly text: string }[] {
  const span = lastMs - firstMs;
  const steps = [
    minute,
    2 * minute,
    5 * minute,
    10 * minute,
    15 * minute,
    30 * minute,
    hour,
    2 * hour,
    3 * hour,
    6 * hour,
  ];
  const step =
    [...steps, 12 * hour, day, 2 * day, 7 * day, 14 * day, 28 * day].find((each) => span / each <= 6) ?? 28 * day;
  const ticks = [];
  for (let timeMs = Math.ceil(firstMs / step) * step; timeMs <= lastMs; timeMs += step) {
    const [date = "", clock = ""] = timeText(timeMs).split(", ");
    const short = date.split(" ").slice(0, 2).join(" ");
    ticks.push({ timeMs, text: step >= day || (clock === "00:00" && span > day / 2) ? short : clock });
  }
  return ticks;
}

function round(value: number): string {
  return String(Number(value.toFixed(1)));
}
