import { AlertSeverity } from "../../../gen/retake/v1/alert_pb.js";
import { type Report, SloKind } from "../../../gen/retake/v1/report_pb.js";
import { HealthLevel } from "../../../gen/retake/v1/status_pb.js";
import { alertWhy } from "../display/alert-text.ts";
import { type Html, html } from "./html.ts";
import { countText, lengthText, shareText, words } from "./text.ts";

/** What somebody who reads nothing else should know. */
export function glance(report: Report): Html {
  const { status } = report;
  const health = status?.health;
  const worries = attention(report);
  return html`<section id="glance" aria-labelledby="glance-title">
<h2 id="glance-title">At a glance</h2>
<div class="glance">
${gauge(health?.score, health?.level ?? HealthLevel.UNKNOWN)}
<div>
${health === undefined ? undefined : html`<p>${health.explanation}</p>`}
${tiles(report)}
</div>
</div>
<h3>What wants attention</h3>
${
  worries.length === 0
    ? html`<p>Nothing, as far as this report can tell.</p>`
    : html`<ul class="watch">
${worries.map(
  ({ tone, text }) => html`<li class="${tone}">${text}</li>
`,
)}</ul>`
}
</section>
`;
}

/** By how a level looks: `good`, `fair`, `poor`, `unknown`. */
export function toneOf(level: HealthLevel): string {
  return level === HealthLevel.UNSPECIFIED ? "unknown" : words(HealthLevel[level]);
}

function gauge(score: number | undefined, level: HealthLevel): Html {
  const length = 2 * Math.PI * 60;
  const part = ((score ?? 0) / 100) * length;
  const text = score === undefined ? "unknown" : `${score} of 100, ${words(HealthLevel[level])}`;
  return html`<svg class="gauge ${toneOf(level)}" viewBox="0 0 150 150" role="img" aria-labelledby="gauge-title gauge-desc">
<title id="gauge-title">Health score</title>
<desc id="gauge-desc">The health score of the server is ${text}.</desc>
<circle class="ring" cx="75" cy="75" r="60"/>
${
  part === 0
    ? undefined
    : html`<circle class="score" cx="75" cy="75" r="60" transform="rotate(-90 75 75)" stroke-dasharray="${part.toFixed(1)} ${length.toFixed(1)}"/>
`
}<text class="big" x="75" y="84">${score ?? "?"}</text>
<text class="small" x="75" y="104">${score === undefined ? "health" : `health: ${words(HealthLevel[level])}`}</text>
</svg>`;
}

function tiles({ execution, errors, alerts, status }: Report): Html {
  const shown: (readonly [title: string, value: string, more?: string])[] = [];
  const total = execution?.total;
  if (total !== undefined) {
    shown.push(["Runs started", countText(total.started)]);
    shown.push(["Succeeded", shareText(total.successRate), "of those that ended by themselves"]);
    if (total.duration !== undefined) {
      shown.push(["Duration", lengthText(total.duration.p95), "95 % took no longer"]);
    }
  }
  if (errors !== undefined) {
    shown.push([
      "Failed attempts",
      countText(errors.attemptFailures),
      `${shareText(errors.attemptFailureRate)} of all`,
    ]);
    if (errors.recoveryRate !== undefined) {
      shown.push(["Recovered", shareText(errors.recoveryRate), "of the runs with a failed attempt"]);
    }
  }
  if (status?.runs !== undefined) {
    shown.push(["Open runs", countText(status.runs.open.reduce((sum, { count }) => sum + Number(count), 0)), "now"]);
  }
  if (alerts !== undefined) shown.push(["Firing alerts", countText(alerts.firing.length), "now"]);
  return html`<dl class="tiles">
${shown.map(
  ([
    title,
    value,
    more,
  ]) => html`<div><dt>${title}</dt><dd>${value}${more === undefined ? undefined : html`<small>${more}</small>`}</dd></div>
`,
)}</dl>`;
}

function attention({ status, alerts, trends, anomalies, slos, errors }: Report) {
  const found: { readonly tone: "poor" | "fair"; readonly text: string }[] = [];
  if (status?.serving === false)
    found.push({ tone: "poor", text: `The server takes no work: ${status.notServingReason}.` });
  for (const alert of alerts?.firing ?? []) {
    const critical = alert.severity === AlertSeverity.CRITICAL;
    found.push({ tone: critical ? "poor" : "fair", text: `${alert.rule}: ${alertWhy(alert)}` });
  }
  for (const { workflow, kind, budgetLeft, burnRate1h } of slos) {
    const promise = kind === SloKind.LATENCY ? "latency" : "availability";
    if (budgetLeft < 0) {
      const used = (1 - budgetLeft).toFixed(1);
      const text = `${workflow} does not keep what it promises (${promise}): ${used} times its error budget of 30 days is used.`;
      found.push({ tone: "poor", text });
    } else if (burnRate1h > 1) {
      const text = `${workflow} burns its error budget (${promise}) ${burnRate1h.toFixed(1)} times as fast as it may; ${shareText(budgetLeft)} of it is left.`;
      found.push({ tone: "fair", text });
    }
  }
  for (const { exhaustionTime, explanation } of trends) {
    if (exhaustionTime !== undefined) found.push({ tone: "fair", text: explanation });
  }
  for (const { ongoing, explanation } of anomalies) if (ongoing) found.push({ tone: "fair", text: explanation });
  const critical = errors?.critical.length ?? 0;
  if (critical > 0) {
    const text = critical === 1 ? "There was a critical failure" : `There were ${critical} critical failures`;
    found.push({ tone: "fair", text: `${text}: they are listed with the errors.` });
  }
  return found.slice(0, 12);
}
