import type { Acknowledgement } from "../../../gen/retake/v1/alert_pb.js";
import { type Alert, viewAlert } from "../alerts/alert.ts";
import { alertAnnotations, alertLabels } from "../alerts/alert-labels.ts";
import type { Rule } from "../alerts/rule.ts";
import { isFiring } from "../alerts/tracker.ts";
import { fingerprintOf, type Notice } from "./notice.ts";

/** An alert, and who looks after it. */
export interface TellableAlert {
  readonly rule: Rule;
  readonly key: string;
  readonly alert: Alert;
  readonly acknowledgement?: Acknowledgement;
}

/** What is to be told of an alert: that it fires, or that it is over; undefined for one that has not fired yet. */
export function noticeOf({ rule, key, alert, acknowledgement }: TellableAlert, nowMs: number): Notice | undefined {
  const { state, severity } = viewAlert(alert);
  if (state === "pending") return undefined;
  const trackers = Object.values(alert.trackers);
  const fires = trackers.some(isFiring);
  const counted = fires ? trackers.filter(isFiring) : trackers;
  const startMs = Math.min(nowMs, ...counted.map((tracker) => ("firedMs" in tracker ? tracker.firedMs : nowMs)));
  const ends = trackers.map((tracker) => ("resolvedMs" in tracker ? tracker.resolvedMs : 0));
  return {
    fingerprint: fingerprintOf(rule.name, key),
    status: fires ? "firing" : "resolved",
    severity,
    labels: alertLabels(alert, rule),
    annotations: alertAnnotations(alert, rule),
    value: alert.value,
    startMs,
    ...(!fires && { endMs: Math.max(...ends) || nowMs }),
    ...(fires && acknowledgement !== undefined && { acknowledgedBy: acknowledgement.acknowledgedBy }),
  };
}
