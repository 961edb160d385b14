import { AlertComparison, type AlertRule } from "../../../gen/retake/v1/alert_pb.js";
import { assertPlaceholders, opening } from "./annotations.ts";
import { tryRuleExpression } from "./rule-expression.ts";

/**
 * What is asked of a rule that is new, beyond what it takes to evaluate it: one that was set before goes on without.
 *
 * @throws TypeError that names the part
 */
export function checkRule(rule: AlertRule): void {
  const { annotations, labels, warning, critical, comparison, expression, queries } = rule;
  for (const [name, { at, clear = at }] of Object.entries({
    ...(warning && { warning }),
    ...(critical && { critical }),
  })) {
    const infinite = [at, clear].find((threshold) => !Number.isFinite(threshold));
    if (infinite !== undefined) throw new TypeError(`${name}: ${infinite} is no threshold: take a number`);
  }
  if (expression !== "") tryRuleExpression(expression, Object.keys(queries));
  const side = comparison === AlertComparison.BELOW ? "above" : "below";
  if (warning && critical && (side === "above" ? critical.at > warning.at : critical.at < warning.at)) {
    throw new TypeError(
      `critical: ${critical.at} is ${side} the warning's ${warning.at}, which nobody would ever see: swap them`,
    );
  }
  for (const [name, template] of Object.entries(annotations)) {
    try {
      assertPlaceholders(template);
    } catch (error) {
      throw new TypeError(`annotations.${name}: ${(error as Error).message}`);
    }
  }
  for (const [name, text] of Object.entries(labels)) {
    if (!text.includes(opening)) continue;
    throw new TypeError(
      `labels.${name}: labels are no templates, so ${opening} stands for nothing; annotations are some`,
    );
  }
}
