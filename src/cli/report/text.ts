import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { quantityText } from "../../monitoring/analysis/index.ts";
import { labelsText } from "../display/alert-text.ts";
import { durationMs, timestampMs } from "../display/times.ts";
import { type Html, html } from "./html.ts";

/** `27 Nov 2026, 19:25`, in UTC: whoever reads a page may be elsewhere. */
export function timeText(time: Timestamp | number | undefined): string {
  if (time === undefined) return "";
  const iso = new Date(typeof time === "number" ? time : timestampMs(time)).toISOString();
  return `${Number(iso.slice(8, 10))} ${months[Number(iso.slice(5, 7)) - 1]} ${iso.slice(0, 4)}, ${iso.slice(11, 16)}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The same as an element, without the year, which the page's head says; for machines it has all of it. */
export function timeElement(time: Timestamp | undefined): Html | undefined {
  if (time === undefined) return undefined;
  const iso = new Date(timestampMs(time)).toISOString();
  return html`<time datetime="${iso.slice(0, 19)}Z">${timeText(time).replace(/ \d{4},/, ",")}</time>`;
}

export function lengthText(duration: Duration | undefined): string {
  return duration === undefined ? "–" : quantityText(durationMs(duration) / 1_000, "s");
}

/** `99.2 %`; a dash for what there is nothing to say of. */
export function shareText(share: number | undefined): string {
  if (share === undefined) return "–";
  const percent = share * 100;
  // What is not quite all of it, or nothing, must not look so.
  const digits = percent > 99 && percent < 100 ? 3 : percent !== 0 && Math.abs(percent) < 1 ? 2 : 1;
  return `${percent.toFixed(digits).replace(/\.?0+$/, "")} %`;
}

export function countText(count: bigint | number): string {
  return count.toLocaleString("en-US");
}

/** The name of a workflow, which may be broken behind its parts, and its package in the background. */
export function workflowName(workflow: string): Html {
  const service = workflow.lastIndexOf(".", workflow.indexOf("/")) + 1;
  const [pack, name] = [workflow.slice(0, service), workflow.slice(service)];
  const parts = (text: string): Html[] => text.split(/(?<=[./])/).map((part) => html`${part}<wbr>`);
  return html`<span class="name">${pack === "" ? undefined : html`<span class="pack">${parts(pack)}</span>`}${parts(name)}</span>`;
}

/** The name of an alert rule, which may be broken behind its parts. */
export function ruleName(rule: string): Html {
  return html`${rule.split(/(?<=_)/).map((part) => html`${part}<wbr>`)}`;
}

/** What an alert is about: its workflow, or what other labels say. */
export function labelsOf(labels: Readonly<Record<string, string>>): Html {
  const { retake_workflow: workflow, ...others } = labels;
  const rest = labelsText(others);
  return html`${workflow === undefined ? undefined : workflowName(workflow)}${workflow !== undefined && rest !== "" ? ", " : ""}${rest}`;
}

/** A name of an enum in words: `BACKING_OFF` is `backing off`. */
export function words(name: string | undefined): string {
  return (name ?? "").toLowerCase().replaceAll("_", " ");
}
