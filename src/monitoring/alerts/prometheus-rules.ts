import { sampleIntervalMs } from "../series/resolutions.ts";
import { annotationForPrometheus, labelForPrometheus } from "./annotations.ts";
import { duration, rulePromql } from "./promql.ts";
import type { Rule } from "./rule.ts";

/**
 * The rules as a rule file of Prometheus. Those whose expression is more than PromQL can say are left out, with a comment
 * that names them. A warning goes on in Prometheus while the same alert is critical: let Alertmanager inhibit it.
 */
export async function prometheusRules(rules: readonly Rule[]): Promise<string> {
  // Only who exports rules needs it.
  const { stringify } = await import("yaml");
  const untold: string[] = [];
  const exported = rules.flatMap((rule) => {
    const alerts = rulePromql(rule);
    if (alerts === undefined) {
      untold.push(rule.name);
      return [];
    }
    return alerts.map(({ severity, expression }) => ({
      alert: rule.name,
      expr: expression,
      ...(rule.forMs > 0 && { for: duration(rule.forMs) }),
      ...(rule.keepFiringForMs > 0 && { keep_firing_for: duration(rule.keepFiringForMs) }),
      labels: { ...each(rule.labels, labelForPrometheus), severity },
      ...(Object.keys(rule.annotations).length > 0 && {
        annotations: each(rule.annotations, annotationForPrometheus),
      }),
    }));
  });
  const head = [
    "Alert rules of Retake, for Prometheus 2.42 or newer that scrapes its /metrics.",
    "While an alert is critical, its warning fires too: inhibit it in Alertmanager by",
    "source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname, …your labels].",
    ...untold.map((name) => `Left out, because PromQL cannot say its expression: ${name}`),
  ];
  const file = { groups: [{ name: "retake", interval: duration(sampleIntervalMs), rules: exported }] };
  return `${head.map((line) => `# ${line}\n`).join("")}${stringify(file, { lineWidth: 0 })}`;
}

function each(texts: Readonly<Record<string, string>>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, change(text)]));
}
