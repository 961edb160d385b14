import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { AlertSeverity } from "../../../gen/retake/v1/alert_pb.js";
import { AuditOutcome } from "../../../gen/retake/v1/audit_pb.js";
import { BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { FailureCategory, Quality, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import {
  type AlertEpisode,
  type ErrorCount,
  type Report,
  ReportSection,
  SloKind,
  type WorkflowExecution,
} from "../../../gen/retake/v1/report_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { HealthComponent } from "../../../gen/retake/v1/status_pb.js";
import { quantityText } from "../../monitoring/analysis/index.ts";
import { alertStateText, alertWhy } from "../display/alert-text.ts";
import { breakerStateText } from "../display/breaker-text.ts";
import { timestampMs } from "../display/times.ts";
import { charts } from "./charts.ts";
import { toneOf } from "./glance.ts";
import { type Html, html } from "./html.ts";
import { bar, table } from "./table.ts";
import { countText, labelsOf, lengthText, ruleName, shareText, timeElement, words, workflowName } from "./text.ts";

/** A section of the page. */
export interface PageSection {
  readonly id: string;
  readonly title: string;
  readonly body: readonly (Html | undefined)[];
}

/** What a report has something to say about, in the order of the page. */
export function pageSections(report: Report): PageSection[] {
  const { series } = report;
  return [
    section("health", "Health", health(report)),
    section("runs", "Runs", [charts(series, ["runs_ended", "run_duration_p95", "runs_open"]), ...executions(report)]),
    section("errors", "Errors", [charts(series, ["attempt_failures"]), ...errors(report)]),
    section("alerts", "Alerts", alerts(report)),
    section("slos", "Promises", slos(report)),
    section("resilience", "Resilience", resilience(report)),
    section("machine", "Machine", [
      charts(series, ["event_loop_delay", "journal_commit_p99", "memory", "disk_free", "journal_size"]),
    ]),
    section("trends", "Trends", trends(report)),
    section("anomalies", "Anomalies", anomalies(report)),
    section("security", "Security", security(report)),
    section("missing", "Not in this report", missing(report)),
  ].filter(({ body }) => body.some((part) => part !== undefined));
}

function section(id: string, title: string, body: readonly (Html | undefined)[]): PageSection {
  return { id, title, body };
}

function health({ status }: Report): (Html | undefined)[] {
  const components = status?.health?.components ?? [];
  if (components.length === 0) return [];
  return [
    table(
      "What makes the score",
      [
        { title: "Component", cell: ({ component }) => capital(words(HealthComponent[component])) },
        {
          title: "Score",
          cell: ({ score, level }) => (score === undefined ? "–" : bar(score / 100, score, toneOf(level))),
        },
        { title: "Weight", number: true, cell: ({ weight }) => weight },
        { title: "Takes", number: true, cell: ({ deduction }) => deduction },
        { title: "Why", cell: ({ explanation }) => explanation },
      ],
      components,
      "The score is 100 less what the components take; one below 50 besides limits the whole.",
    ),
  ];
}

function executions({ execution }: Report): (Html | undefined)[] {
  if (execution === undefined) return [];
  const { workflows, workflowCount, total } = execution;
  if (workflows.length === 0) return [html`<p>No runs were started or ended.</p>`];
  const count = ({ ended }: WorkflowExecution, state: RunState): string =>
    countText(ended.find((each) => each.state === state)?.count ?? 0n);
  const rows = workflows.length > 1 && total !== undefined ? [...workflows, total] : workflows;
  const more = workflowCount - workflows.length;
  return [
    table(
      "Runs by workflow",
      [
        { title: "Workflow", cell: ({ workflow }) => (workflow === "" ? "All" : workflowName(workflow)) },
        { title: "Started", number: true, cell: ({ started }) => countText(started) },
        { title: "Succeeded", number: true, cell: (row) => count(row, RunState.SUCCEEDED) },
        { title: "Failed", number: true, cell: (row) => count(row, RunState.FAILED) },
        { title: "Expired", number: true, cell: (row) => count(row, RunState.EXPIRED) },
        { title: "Cancelled", number: true, cell: (row) => count(row, RunState.CANCELLED) },
        { title: "Success rate", number: true, cell: ({ successRate }) => shareText(successRate) },
      ],
      rows,
      more > 0 ? `${countText(more)} further workflows had runs.` : undefined,
    ),
    table(
      "How long it took",
      [
        { title: "Workflow", cell: ({ workflow }) => (workflow === "" ? "All" : workflowName(workflow)) },
        { title: "p50", number: true, cell: ({ duration }) => lengthText(duration?.p50) },
        { title: "p95", number: true, cell: ({ duration }) => lengthText(duration?.p95) },
        { title: "p99", number: true, cell: ({ duration }) => lengthText(duration?.p99) },
        { title: "Waited p50", number: true, cell: ({ queue }) => lengthText(queue?.p50) },
        { title: "Waited p95", number: true, cell: ({ queue }) => lengthText(queue?.p95) },
        { title: "Retries", number: true, cell: ({ retries }) => countText(retries) },
        { title: "Fallbacks", number: true, cell: ({ fallbacks }) => countText(fallbacks) },
        { title: "Reduced", number: true, cell: ({ reduced }) => reducedText(reduced) },
      ],
      rows,
      "Durations are those of runs that succeeded, from acceptance to end; what waited, waited for its first attempt. Reduced: succeeded with less than the full quality.",
    ),
  ];
}

function reducedText(reduced: WorkflowExecution["reduced"]): string {
  if (reduced.length === 0) return "0";
  return reduced.map(({ quality, count }) => `${countText(count)} ${words(Quality[quality])}`).join(", ");
}

function countedRuns(count: bigint): string {
  return `${countText(count)} ${count === 1n ? "run" : "runs"}`;
}

function errors({ errors: found }: Report): (Html | undefined)[] {
  if (found === undefined) return [];
  const { attemptFailures, attemptFailureRate, runFailures, runFailureRate, recoveryRate, recoveredRuns } = found;
  if (attemptFailures === 0n && runFailures === 0n) return [html`<p>Nothing failed.</p>`];
  const common = found.byReason[0];
  const sentence = [
    `${countText(attemptFailures)} ${attemptFailures === 1n ? "attempt" : "attempts"} failed (${shareText(attemptFailureRate)} of all), and ${countedRuns(runFailures)} ended failed or expired (${shareText(runFailureRate)}).`,
    recoveryRate === undefined
      ? ""
      : `Of the runs with a failed attempt ${shareText(recoveryRate)} succeeded all the same: ${countText(recoveredRuns)}.`,
    common === undefined ? "" : `The most common cause is ${common.name || "not counted apart"}.`,
  ];
  return [
    html`<p>${sentence.filter((part) => part !== "").join(" ")}</p>`,
    errorTable("By cause", "Cause", found.byReason),
    html`<div class="pair">${errorTable("By kind of trouble", "Category", found.byCategory)}${errorTable("By severity", "Severity", found.bySeverity)}${errorTable("By workflow", "Workflow", found.byWorkflow, workflowName)}${errorTable("By back-end", "Back-end", found.byBackend)}</div>
`,
    found.critical.length === 0
      ? undefined
      : table(
          "Critical failures, newest first",
          [
            { title: "When (UTC)", cell: ({ time }) => timeElement(time) },
            { title: "Run", cell: ({ runId }) => html`<code>${runId}</code>` },
            { title: "Workflow", cell: ({ workflow }) => workflowName(workflow) },
            {
              title: "What",
              cell: ({ reason, category, message, attempt, endpoint }) =>
                html`<strong>${reason}</strong> (${words(FailureCategory[category])}${endpoint === "" ? "" : `, attempt ${attempt} at ${endpoint}`}): ${message}`,
            },
          ],
          found.critical,
          "Look at one with: retake runs get RUN",
        ),
  ];
}

function errorTable(
  caption: string,
  title: string,
  counts: readonly ErrorCount[],
  name: (text: string) => Html = (text) => html`${text}`,
): Html | undefined {
  if (counts.length === 0) return undefined;
  const most = Math.max(1, ...counts.map(({ attempts }) => Number(attempts)));
  return table(
    caption,
    [
      { title, cell: (row) => (row.name === "" ? "(not counted apart)" : name(row.name)) },
      {
        title: "Failed attempts",
        cell: ({ attempts }) => bar(Number(attempts) / most, countText(attempts), "poor"),
      },
      ...(title === "Back-end"
        ? []
        : [{ title: "Lost runs", number: true, cell: ({ runs }: ErrorCount) => countText(runs) }]),
    ],
    counts.slice(0, 20),
  );
}

function alerts({ alerts: found, until }: Report): (Html | undefined)[] {
  if (found === undefined) return [];
  return [
    found.firing.length === 0
      ? html`<p>No alert fires.</p>`
      : table(
          "Firing now, the worst first",
          [
            { title: "Alert", cell: ({ rule }) => ruleName(rule) },
            { title: "State", cell: (alert) => severityBadge(alert.severity, alertStateText(alert)) },
            { title: "Since (UTC)", cell: ({ fireTime, activeTime }) => timeElement(fireTime ?? activeTime) },
            { title: "Why", cell: alertWhy },
          ],
          found.firing,
        ),
    found.episodes.length === 0
      ? undefined
      : table(
          "What fired, the newest first",
          [
            { title: "Alert", cell: ({ last }) => ruleName(last.rule) },
            { title: "Of", cell: ({ last }) => labelsOf(last.labels) },
            { title: "At worst", cell: ({ worst }) => severityBadge(worst, AlertSeverity[worst] ?? "") },
            { title: "Times", number: true, cell: ({ times }) => countText(times) },
            { title: "In all", number: true, cell: ({ ms }) => quantityText(ms / 1_000, "s") },
            { title: "Last from (UTC)", cell: ({ last }) => timeElement(last.fireTime) ?? "earlier" },
            { title: "To (UTC)", cell: ({ last }) => timeElement(last.resolveTime) ?? "fires still" },
          ],
          firedAlerts(found.episodes, until),
        ),
  ];
}

/** The times in which an alert fired, as one. */
function firedAlerts(episodes: readonly AlertEpisode[], until: Timestamp | undefined) {
  return [...Map.groupBy(episodes, ({ alertId }) => alertId).values()].flatMap((own) => {
    const [last] = own;
    if (last === undefined) return [];
    const ms = own.reduce((sum, { fireTime, resolveTime }) => {
      const end = resolveTime ?? until;
      return fireTime === undefined || end === undefined ? sum : sum + timestampMs(end) - timestampMs(fireTime);
    }, 0);
    return [{ last, times: own.length, ms, worst: Math.max(...own.map(({ severity }) => severity)) as AlertSeverity }];
  });
}

function severityBadge(severity: AlertSeverity, text: string): Html {
  const tone = severity === AlertSeverity.CRITICAL ? "poor" : "fair";
  return html`<span class="badge ${tone}">${text.toLowerCase()}</span>`;
}

function slos({ slos: found }: Report): (Html | undefined)[] {
  if (found.length === 0) return [];
  return [
    table(
      "What workflows promise, over 30 days",
      [
        { title: "Workflow", cell: ({ workflow }) => workflowName(workflow) },
        {
          title: "Promise",
          cell: ({ kind, objective, threshold }) =>
            kind === SloKind.LATENCY
              ? `${shareText(objective)} take no longer than ${lengthText(threshold)}`
              : `${shareText(objective)} do not fail`,
        },
        { title: "Runs", number: true, cell: ({ runs }) => countText(runs) },
        { title: "Broke it", number: true, cell: ({ bad }) => countText(bad) },
        { title: "Kept by", number: true, cell: ({ achieved }) => shareText(achieved) },
        {
          title: "Budget left",
          cell: ({ budgetLeft }) =>
            bar(
              budgetLeft,
              budgetLeft < 0 ? `none, ${(1 - budgetLeft).toFixed(1)} × used` : shareText(budgetLeft),
              budgetLeft > 0.5 ? "good" : budgetLeft > 0.1 ? "fair" : "poor",
            ),
        },
        { title: "Burns, 1 h", number: true, cell: ({ burnRate1h }) => `${burnRate1h.toFixed(1)} ×` },
        { title: "Burns, 6 h", number: true, cell: ({ burnRate6h }) => `${burnRate6h.toFixed(1)} ×` },
      ],
      found,
      "The budget is the part of the runs that may break the promise. Burnt at 1 × it lasts just as long as it must.",
    ),
  ];
}

function resilience({ resilience: found }: Report): (Html | undefined)[] {
  if (found === undefined) return [];
  const { breakers, retryBudgets, lowered, faults, faultsInjected, recoveries } = found;
  const parts = [
    breakers.length === 0
      ? undefined
      : table(
          "Breakers",
          [
            { title: "Workflow", cell: ({ workflow }) => workflowName(workflow) },
            { title: "Back-end", cell: ({ backend }) => backend },
            {
              title: "State",
              cell: (breaker) =>
                html`<span class="badge ${breaker.state === BreakerState.CLOSED ? "good" : "poor"}">${breakerStateText(breaker)}</span>`,
            },
            { title: "Attempts", number: true, cell: ({ attempts }) => countText(attempts) },
            { title: "Failures", number: true, cell: ({ failures }) => countText(failures) },
            { title: "Waiting runs", number: true, cell: ({ waitingRuns }) => countText(waitingRuns) },
          ],
          breakers,
        ),
    retryBudgets.length === 0
      ? undefined
      : table(
          "Retry budgets",
          [
            { title: "Back-end", cell: ({ backend }) => backend },
            {
              title: "Left",
              cell: ({ tokens, maxTokens }) =>
                bar(
                  tokens / maxTokens,
                  `${quantityText(tokens, "")} of ${quantityText(maxTokens, "")}`,
                  tokens > maxTokens / 2 ? "good" : "poor",
                ),
            },
            { title: "Waiting runs", number: true, cell: ({ waitingRuns }) => countText(waitingRuns) },
          ],
          retryBudgets,
          "Retries are held back while half of a budget or less is left.",
        ),
    lowered.length === 0
      ? undefined
      : table(
          "Lowered quality",
          [
            { title: "Workflow", cell: ({ workflow }) => workflowName(workflow) },
            { title: "Level", cell: ({ level }) => words(Quality[level]) },
            { title: "Since (UTC)", cell: ({ sinceTime }) => timeElement(sinceTime) },
            { title: "Why", cell: ({ reason }) => reason },
          ],
          lowered,
        ),
    faults.length === 0
      ? undefined
      : table(
          "Drills that are going on",
          [
            { title: "Drill", cell: ({ faultId }) => html`<code>${faultId}</code>` },
            { title: "Workflow", cell: ({ fault }) => workflowName(fault?.workflow ?? "") },
            { title: "What", cell: ({ fault }) => fault?.effect.case ?? "" },
            { title: "Until (UTC)", cell: ({ fault }) => timeElement(fault?.expireTime) },
            { title: "Hits", number: true, cell: ({ hits }) => countText(hits) },
          ],
          faults,
        ),
    faultsInjected === 0n ? undefined : html`<p>Drills have hit ${countText(faultsInjected)} attempts.</p>`,
    recoveries.length === 0
      ? undefined
      : table(
          "Recoveries",
          [
            { title: "Workflow", cell: ({ workflow }) => workflowName(workflow) },
            { title: "What was done", cell: ({ action }) => words(RecoveryAction[action]) },
            { title: "Helped", number: true, cell: ({ succeeded }) => countText(succeeded) },
            { title: "Did not", number: true, cell: ({ failed }) => countText(failed) },
          ],
          recoveries,
        ),
  ];
  return parts.some((part) => part !== undefined) ? parts : [html`<p>No breakers, budgets or drills are in use.</p>`];
}

function trends({ trends: found, series }: Report): (Html | undefined)[] {
  if (found.length === 0) {
    return series.length === 0 ? [] : [html`<p>Nothing rises or falls that is more than chance.</p>`];
  }
  return [
    table(
      "What rises and falls",
      [
        {
          title: "What",
          cell: ({ title, name }) => (name === "" ? capital(title) : html`${capital(title)}: ${nameOf(name)}`),
        },
        { title: "An hour", number: true, cell: ({ slopePerHour, unit }) => signed(slopePerHour, unit) },
        { title: "Runs out (UTC)", cell: ({ exhaustionTime }) => timeElement(exhaustionTime) ?? "–" },
        { title: "Why", cell: ({ explanation }) => explanation },
      ],
      found,
    ),
  ];
}

function anomalies({ anomalies: found, series }: Report): (Html | undefined)[] {
  if (found.length === 0) return series.length === 0 ? [] : [html`<p>Nothing was unusual for long.</p>`];
  return [
    table(
      "What was unusual, newest first",
      [
        {
          title: "What",
          cell: ({ title, name }) => (name === "" ? capital(title) : html`${capital(title)}: ${nameOf(name)}`),
        },
        { title: "From (UTC)", cell: ({ startTime }) => timeElement(startTime) },
        { title: "To (UTC)", cell: ({ endTime, ongoing }) => (ongoing ? "lasts" : timeElement(endTime)) },
        { title: "Why", cell: ({ explanation }) => explanation },
      ],
      found,
    ),
  ];
}

function security({ security: found }: Report): (Html | undefined)[] {
  if (found === undefined) return [];
  const { events, denied, lockouts, lost, actions, subjects, deniedAccess } = found;
  const most = 25;
  return [
    html`<p>${countText(events)} events are on record, ${countText(denied)} of them denied, with ${countText(lockouts)} lock-outs. ${lost === 0n ? undefined : `${countText(lost)} events could not be recorded.`}</p>`,
    actions.length === 0
      ? undefined
      : table(
          "What was done",
          [
            { title: "What", cell: ({ action }) => html`<code>${action}</code>` },
            { title: "Outcome", cell: ({ outcome }) => words(AuditOutcome[outcome]) },
            { title: "Times", number: true, cell: ({ count }) => countText(count) },
          ],
          actions.toSorted((a, b) => Number(b.count - a.count)).slice(0, most),
        ),
    deniedAccess.length === 0
      ? undefined
      : table(
          "What was denied",
          [
            { title: "Why", cell: ({ reason }) => reason },
            { title: "To what", cell: ({ resource }) => resource },
            { title: "From", cell: ({ source }) => source },
            { title: "Times", number: true, cell: ({ count }) => countText(count) },
            { title: "Last (UTC)", cell: ({ lastTime }) => timeElement(lastTime) },
          ],
          deniedAccess.slice(0, most),
        ),
    subjects.length === 0
      ? undefined
      : table(
          "Who did most",
          [
            { title: "Who", cell: ({ subject }) => subject || "(nobody)" },
            { title: "Tenant", cell: ({ tenant }) => tenant },
            { title: "Granted", number: true, cell: ({ granted }) => countText(granted) },
            { title: "Denied", number: true, cell: ({ denied: refused }) => countText(refused) },
            { title: "Failed", number: true, cell: ({ failed }) => countText(failed) },
          ],
          subjects.slice(0, most),
        ),
  ];
}

function missing({ missing: found }: Report): (Html | undefined)[] {
  if (found.length === 0) return [];
  return [
    html`<ul>${found.map(
      ({ section: which, reason }) => html`<li>${capital(words(ReportSection[which]))}: ${reason}.</li>
`,
    )}</ul>`,
  ];
}

function nameOf(name: string): Html {
  return name.includes("/") ? workflowName(name) : html`${name}`;
}

function signed(value: number, unit: string): string {
  return `${value > 0 ? "+" : ""}${quantityText(value, unit)}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
