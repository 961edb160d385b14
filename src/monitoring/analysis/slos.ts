import { create } from "@bufbuild/protobuf";
import { SloKind, type SloReport, SloReportSchema } from "../../../gen/retake/v1/report_pb.js";
import { durationFromMs } from "../../runs/index.ts";
import type { SloTarget } from "../alerts/slo-rules.ts";
import type { Breathe } from "./breathe.ts";
import { type CountedSource, CountedWindow, sumBy, sumOf } from "./counted-window.ts";
import { bucketsOf, whole } from "./executions.ts";
import { only, stateLabel, workflowLabel } from "./labels.ts";

const hourMs = 3_600_000;

/** Over which time a promise is kept or broken. */
const periodMs = 30 * 24 * hourMs;

interface Kept {
  readonly runs: number;
  readonly bad: number;
}

/** How promises are kept. */
export async function sloReports(
  source: CountedSource,
  nowMs: number,
  slos: readonly SloTarget[],
  breathe: Breathe,
): Promise<readonly SloReport[]> {
  const windows = [periodMs, hourMs, 6 * hourMs].map(
    (ofMs) => new CountedWindow(source, nowMs, { afterMs: nowMs - ofMs, untilMs: nowMs }, breathe),
  );
  const reports: SloReport[] = [];
  for (const { workflow, availability, latency } of slos) {
    const report = async (init: object, objective: number, count: (window: CountedWindow) => Promise<Kept>) => {
      const [period, hour, six] = await Promise.all(windows.map(count));
      if (period === undefined || hour === undefined || six === undefined) return;
      const budget = 1 - objective;
      const { runs, bad } = period;
      reports.push(
        create(SloReportSchema, {
          ...{ workflow, objective, ...init, runs: whole(runs), bad: whole(bad) },
          ...(runs > 0 && { achieved: 1 - bad / runs }),
          budgetLeft: runs === 0 ? 1 : 1 - bad / (runs * budget),
          burnRate1h: burnRate(hour, budget),
          burnRate6h: burnRate(six, budget),
        }),
      );
    };
    if (availability !== undefined) {
      await report({ kind: SloKind.AVAILABILITY }, availability, (window) => availabilityOf(window, workflow));
    }
    if (latency !== undefined) {
      const { seconds, objective } = latency;
      const init = { kind: SloKind.LATENCY, threshold: durationFromMs(seconds * 1_000) };
      await report(init, objective, (window) => latencyOf(window, workflow, seconds));
    }
  }
  return reports;
}

/** As the rules have it: what is cancelled counts, and is not bad. */
async function availabilityOf(window: CountedWindow, workflow: string): Promise<Kept> {
  const ended = await window.of("retake_runs_ended_total", [only(workflowLabel, workflow)]);
  const byState = sumBy(ended, stateLabel);
  return { runs: sumOf(ended), bad: (byState.get("FAILED") ?? 0) + (byState.get("EXPIRED") ?? 0) };
}

async function latencyOf(window: CountedWindow, workflow: string, seconds: number): Promise<Kept> {
  const matchers = [only(workflowLabel, workflow), only(stateLabel, "SUCCEEDED")];
  const buckets = bucketsOf(await window.of("retake_run_duration_seconds_bucket", matchers));
  const countTo = (bound: number): number => buckets.find(({ upperBound }) => upperBound === bound)?.count ?? 0;
  const runs = countTo(Number.POSITIVE_INFINITY);
  return { runs, bad: runs - countTo(seconds) };
}

function burnRate({ runs, bad }: Kept, budget: number): number {
  return runs === 0 ? 0 : bad / (runs * budget);
}
