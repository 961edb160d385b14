import { createHash } from "node:crypto";
import type { Report } from "../../../gen/retake/v1/report_pb.js";
import { quantityText } from "../../monitoring/analysis/index.ts";
import { timestampMs } from "../display/times.ts";
import { glance } from "./glance.ts";
import { Html, html } from "./html.ts";
import { pageSections } from "./sections.ts";
import { style } from "./style.ts";
import { timeElement, timeText } from "./text.ts";

/**
 * A report as one page that needs nothing else: no scripts, nothing from elsewhere, and a policy that would let nothing in.
 */
export function reportPage(report: Report): string {
  const { host, version, since, until, sampleTime } = report;
  const sections = pageSections(report);
  const seconds = since === undefined || until === undefined ? 0 : (timestampMs(until) - timestampMs(since)) / 1_000;
  const styleHash = createHash("sha256").update(style).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Html(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Retake report of ${host}, ${timeText(until)} UTC</title>
<style>${new Html(style)}</style>
</head>
<body>
<header>
<h1>Retake report</h1>
<p class="about"><strong>${host}</strong>, version ${version}. The ${quantityText(seconds, "s")} from ${timeText(since)} to ${timeText(until)} UTC.</p>
<nav aria-label="Sections"><ul><li><a href="#glance">At a glance</a></li>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
</header>
<main>
${glance(report)}
${sections.map(
  ({ id, title, body }) => html`<section id="${id}" aria-labelledby="${id}-heading">
<h2 id="${id}-heading">${title}</h2>
${body.filter((part) => part !== undefined)}</section>
`,
)}</main>
<footer><p>Written by retake ${version}. ${sampleTime === undefined ? "There were no samples." : html`The newest samples in it are of ${timeElement(sampleTime)} UTC.`} Times are in UTC.</p></footer>
</body>
</html>
`.text;
}
