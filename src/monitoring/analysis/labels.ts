import type { LabelMatcher } from "../series/matcher.ts";

/** The labels of `retake.*` metrics, as series have them. */
export const workflowLabel = "retake_workflow";
export const stateLabel = "retake_run_state";
export const outcomeLabel = "retake_outcome";
export const endpointLabel = "retake_endpoint";
export const categoryLabel = "retake_failure_category";
export const severityLabel = "retake_failure_severity";
export const reasonLabel = "retake_failure_reason";

/** Only series whose label is that. */
export function only(label: string, value: string): LabelMatcher {
  return { label, operator: "=", value };
}
