import type { ReportSeries } from "../../../gen/retake/v1/report_pb.js";
import { durationMs, timestampMs } from "../display/times.ts";
import { type Html, html } from "./html.ts";
import { lineChart } from "./line-chart.ts";
import { words } from "./text.ts";

/** States that mean the same everywhere have the same colour everywhere. */
const colours: Readonly<Record<string, number>> = {
  ...{ SUCCEEDED: 2, FAILED: 1, EXPIRED: 3, CANCELLED: 6 },
  ...{ RUNNING: 0, QUEUED: 3, BACKING_OFF: 4, PARKED: 7, DELEGATED: 5, CANCELLING: 6 },
};

const palette = 8;

/** A workflow without its package, which the tables have, unless others are called like it. */
function shortName(name: string, all: readonly string[]): string {
  const short = (full: string): string => full.slice(full.lastIndexOf(".", full.indexOf("/")) + 1);
  return all.filter((each) => short(each) === short(name)).length === 1 ? short(name) : name;
}

/** The pictures with these ids, in that order, as far as there are any. */
export function charts(series: readonly ReportSeries[], ids: readonly string[]): Html | undefined {
  const pictures = ids.flatMap((id) => {
    const own = series.filter((each) => each.id === id);
    const [first] = own;
    if (first?.firstTime === undefined || first.step === undefined) return [];
    const lines = own.map(({ name, values }, index) => ({
      name:
        name in colours
          ? words(name)
          : shortName(
              name,
              own.map((each) => each.name),
            ),
      values,
      colour: colours[name] ?? index % palette,
    }));
    const { title, unit, firstTime, step } = first;
    return [lineChart({ id, title, unit, lines, firstMs: timestampMs(firstTime), stepMs: durationMs(step) })];
  });
  return pictures.length === 0
    ? undefined
    : html`<div class="charts">
${pictures}</div>
`;
}
