import {
  type Alert,
  AlertSeverity,
  AlertState,
  type LabelMatcher,
  MatcherOperator,
} from "../../../gen/retake/v1/alert_pb.js";
import { plainText } from "./plain-text.ts";

/** How far an alert is, and how bad: `CRITICAL`, `warning, pending`. */
export function alertStateText({ severity, state }: Pick<Alert, "severity" | "state">): string {
  const level = AlertSeverity[severity] ?? "";
  if (state === AlertState.FIRING) return level;
  const name = state === AlertState.UNSPECIFIED ? "GONE" : (AlertState[state] ?? "");
  return severity === AlertSeverity.UNSPECIFIED ? name : `${level}, ${name}`;
}

/** What people read of an alert, and who looks after it. */
export function alertWhy({ annotations, labels, acknowledgement, silenceIds }: Alert): string {
  const text = annotations["summary"] ?? labelsText(labels);
  const by = acknowledgement?.acknowledgedBy;
  const note = acknowledgement?.note ? `: ${acknowledgement.note}` : "";
  const parts = [
    text,
    ...(by ? [`(${by} looks after it${note})`] : []),
    ...(silenceIds.length > 0 ? ["(silenced)"] : []),
  ];
  return plainText(parts.join(" "));
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .filter(([name]) => name !== "alertname" && name !== "severity")
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

export function matcherText({ label, operator, value }: LabelMatcher): string {
  return plainText(`${label}${signs[operator]}${JSON.stringify(value)}`);
}

const signs: Readonly<Record<MatcherOperator, string>> = {
  [MatcherOperator.UNSPECIFIED]: "=",
  [MatcherOperator.EQUAL]: "=",
  [MatcherOperator.NOT_EQUAL]: "!=",
  [MatcherOperator.MATCHES]: "=~",
  [MatcherOperator.NOT_MATCHES]: "!~",
};
