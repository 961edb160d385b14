import { create } from "@bufbuild/protobuf";
import {
  type ErrorCount,
  ErrorCountSchema,
  type ErrorReport,
  ErrorReportSchema,
} from "../../../gen/retake/v1/report_pb.js";
import { type Counted, type CountedWindow, sumBy, sumOf } from "./counted-window.ts";
import { partOf, whole } from "./executions.ts";
import {
  categoryLabel,
  endpointLabel,
  outcomeLabel,
  reasonLabel,
  severityLabel,
  stateLabel,
  workflowLabel,
} from "./labels.ts";

/** More than anybody reads. */
const mostKinds = 50;

/** What failed in a window; the critical failures are somebody else's. */
export async function errorReport(window: CountedWindow): Promise<ErrorReport> {
  const attempts = await window.of("retake_attempt_failures_total");
  const runs = await window.of("retake_run_failures_total");
  const outcomes = sumBy(await window.of("retake_attempts_total"), outcomeLabel);
  const afterFailure = sumBy(await window.of("retake_runs_ended_after_failure_total"), stateLabel);
  const ended = sumBy(await window.of("retake_runs_ended_total"), stateLabel);
  const runFailureRate = partOf(ended, "FAILED", "EXPIRED");
  const recoveryRate = partOf(afterFailure, "SUCCEEDED");
  const failed = sumOf(attempts);
  const allAttempts = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
  const by = (label: string, limit = mostKinds): ErrorCount[] => countsBy(attempts, runs, label).slice(0, limit);
  return create(ErrorReportSchema, {
    attemptFailures: whole(failed),
    ...(allAttempts > 0 && { attemptFailureRate: failed / allAttempts }),
    runFailures: whole(sumOf(runs)),
    ...(runFailureRate !== undefined && { runFailureRate }),
    ...(recoveryRate !== undefined && { recoveryRate }),
    recoveredRuns: whole(afterFailure.get("SUCCEEDED") ?? 0),
    byCategory: by(categoryLabel),
    bySeverity: by(severityLabel),
    byReason: by(reasonLabel),
    byWorkflow: by(workflowLabel),
    // Of runs it is not known which back-end has ended them.
    byBackend: countsBy(attempts, [], endpointLabel).slice(0, mostKinds),
  });
}

function countsBy(attempts: readonly Counted[], runs: readonly Counted[], label: string): ErrorCount[] {
  const [ofAttempts, ofRuns] = [sumBy(attempts, label), sumBy(runs, label)];
  return [...new Set([...ofAttempts.keys(), ...ofRuns.keys()])]
    .map((name) =>
      create(ErrorCountSchema, {
        name,
        attempts: whole(ofAttempts.get(name) ?? 0),
        runs: whole(ofRuns.get(name) ?? 0),
      }),
    )
    .sort((a, b) => Number(b.attempts + b.runs - a.attempts - a.runs) || (a.name < b.name ? -1 : 1));
}
