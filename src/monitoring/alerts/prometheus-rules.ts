import { sampleIntervalMs } from "../series/resolutions.ts";
import { annotationForPrometheus, labelForPrometheus } from "./annotations.ts";
import { duration, rulePromql } from "./promql.ts";
import type { Rule } from "./rule.ts";

/**
 * The rules as a rule file of Prometheus. Comments name those that are left out, because their expression is more than PromQL
 * can say, and those whose alerts go on without samples here and not there. A warning goes on in Prometheus while the same
 * alert is critical: let Alertmanager inhibit it.
 */
export async function prometheusRules(rules: readonly Rule[]): Promise<string> {
  // Only who exports rules needs it.
  const { stringify } = await import("yaml");
  const untold: string[] = [];
  const kept: string[] = [];
  const exported = rules.flatMap((rule) => {
    const alerts = rulePromql(rule);
    if (alerts === undefined) {
      untold.push(rule.name);
      return [];
    }
    if (rule.noData === "keep") kept.push(rule.name);
    return alerts.map(({ severity, expression, labels }) => ({
      alert: rule.name,
      expr: expression,
      ...(rule.forMs > 0 && { for: duration(rule.forMs) }),
      ...(rule.keepFiringForMs > 0 && { keep_firing_for: duration(rule.keepFiringForMs) }),
      labels: { ...each(rule.labels, labelForPrometheus), ...labels, severity },
      ...annotationsOf(rule, labels !== undefined),
    }));
  });
  const head = [
    "Alert rules of Retake, for Prometheus 2.42 or newer that scrapes its /metrics.",
    "While an alert is critical, its warning fires too: inhibit it in Alertmanager by",
    "source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname, …your labels].",
    ...kept.map(
      (name) => `Ends in Prometheus where there are no samples any more, and not in Retake (no_data): ${name}`,
    ),
    ...untold.map((name) => `Left out, because PromQL cannot say its expression: ${name}`),
  ];
  const file = { groups: [{ name: "retake", interval: duration(sampleIntervalMs), rules: exported }] };
  return `${head.map((line) => `# ${line}\n`).join("")}${stringify(file, { lineWidth: 0 })}`;
}

function annotationsOf({ name, annotations }: Rule, isAbsence: boolean): { annotations?: Record<string, string> } {
  const told = each(annotations, annotationForPrometheus);
  if (isAbsence) told["summary"] = `there are no samples for the rule ${name}`;
  return Object.keys(told).length === 0 ? {} : { annotations: told };
}

function each(texts: Readonly<Record<string, string>>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, change(text)]));
}
