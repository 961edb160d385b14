import type { Labels } from "../series/series.ts";
import { type Alert, viewAlert } from "./alert.ts";
import { fillIn } from "./annotations.ts";
import type { Rule, Severity } from "./rule.ts";

/** What an alert is known by, to people and to silences: those of its series and its rule, its name and severity. */
export function alertLabels(alert: Pick<Alert, "labels" | "trackers" | "cause">, rule: Rule): Labels {
  return labelsAt(alert, rule, viewAlert(alert).severity);
}

/** The same at a severity that it had before. */
export function labelsAt({ labels, cause }: Pick<Alert, "labels" | "cause">, rule: Rule, severity: Severity): Labels {
  return {
    ...labels,
    ...rule.labels,
    ...(cause !== "threshold" && { cause }),
    alertname: rule.name,
    severity,
  };
}

/** What people read about an alert. */
export function alertAnnotations(alert: Pick<Alert, "labels" | "trackers" | "cause" | "value">, rule: Rule): Labels {
  const labels = alertLabels(alert, rule);
  const filled: Record<string, string> = {};
  for (const [name, template] of Object.entries(rule.annotations)) {
    filled[name] = fillIn(template, labels, alert.value);
  }
  if (alert.cause === "no_data") filled["summary"] = `there are no samples for the rule ${rule.name}`;
  if (alert.cause === "error") filled["summary"] = `the expression of the rule ${rule.name} has no value`;
  return filled;
}
