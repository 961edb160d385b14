import { suggestion } from "../nearest-name.ts";
import type { ConfigProblem } from "./config-error.ts";
import type { ResolvedConfig } from "./settings.ts";

/** What makes no sense together of rules, promises, notifiers and routes. */
export function monitoringProblems({ monitoring }: ResolvedConfig): ConfigProblem[] {
  if (monitoring === undefined) return [];
  const { rules, slos, notifiers, routes } = monitoring;
  const names = notifiers.map(({ name }) => name);
  const problems = [
    ...repeated(
      rules.map(({ name }) => name),
      "rules",
      "rule",
    ),
    ...repeated(
      slos.map(({ workflow }) => workflow),
      "slos",
      "promise of the workflow",
      "workflow",
    ),
    ...repeated(names, "notifiers", "notifier"),
  ];
  for (const [index, route] of routes.entries()) {
    for (const [number, name] of route.notifiers.entries()) {
      if (names.includes(name)) continue;
      const message = `there is no notifier "${name}".${suggestion(name, names)}`;
      problems.push({ field: `monitoring.routes[${index}].notifiers[${number}]`, message });
    }
  }
  return problems;
}

function repeated(names: readonly string[], list: string, what: string, key = "name"): ConfigProblem[] {
  return names.flatMap((name, index) =>
    names.indexOf(name) === index
      ? []
      : [{ field: `monitoring.${list}[${index}].${key}`, message: `there is another ${what} "${name}" before it` }],
  );
}
