import { create } from "@bufbuild/protobuf";
import { type Alert, AlertSchema, AlertSeverity, AlertState } from "../../../gen/retake/v1/alert_pb.js";
import { type AlertChange, AlertChangeSchema } from "../../../gen/retake/v1/monitoring_service_pb.js";
import {
  alertAnnotations,
  alertCauses,
  alertLabels,
  alertSeverities,
  alertStates,
  fingerprintOf,
  viewAlert,
} from "../../monitoring/alerts/index.ts";
import type { ListedAlert, PastChange } from "../../monitoring/index.ts";
import { timestampFromMs } from "../../runs/index.ts";

/** An alert for those who ask. */
export function alertMessage(listed: ListedAlert, silenceIds: readonly string[]): Alert {
  const { rule, key, alert, acknowledgement } = listed;
  const { state, severity } = viewAlert(alert);
  const trackers = Object.values(alert.trackers);
  const earliest = (pick: (tracker: (typeof trackers)[number]) => number | undefined): number | undefined => {
    const times = trackers.map(pick).filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  };
  const activeMs = earliest((tracker) => ("activeMs" in tracker ? tracker.activeMs : undefined));
  const firedMs = earliest((tracker) => ("firedMs" in tracker ? tracker.firedMs : undefined));
  const resolvedMs =
    state === "resolved"
      ? earliest((tracker) => ("resolvedMs" in tracker ? tracker.resolvedMs : undefined))
      : undefined;
  return create(AlertSchema, {
    alertId: fingerprintOf(rule.name, key),
    rule: rule.name,
    state: alertStates[state],
    severity: alertSeverities[severity],
    cause: alertCauses[alert.cause],
    labels: { ...alertLabels(alert, rule) },
    annotations: { ...alertAnnotations(alert, rule) },
    ...(!Number.isNaN(alert.value) && { value: alert.value }),
    ...(activeMs !== undefined && { activeTime: timestampFromMs(activeMs) }),
    ...(firedMs !== undefined && { fireTime: timestampFromMs(firedMs) }),
    ...(resolvedMs !== undefined && { resolveTime: timestampFromMs(resolvedMs) }),
    ...(acknowledgement && { acknowledgement }),
    silenceIds: [...silenceIds],
  });
}

/** A change for those who ask. */
export function changeMessage({ timeMs, rule, key, labels, cause, value, before, after }: PastChange): AlertChange {
  return create(AlertChangeSchema, {
    time: timestampFromMs(timeMs),
    ...{ alertId: fingerprintOf(rule, key), rule, labels: { ...labels }, cause: alertCauses[cause] },
    ...(!Number.isNaN(value) && { value }),
    previousState: alertStates[before.state],
    state: alertStates[after.state],
    severity: after.state === "inactive" ? AlertSeverity.UNSPECIFIED : alertSeverities[after.severity],
  });
}

export const firingStates: ReadonlySet<AlertState> = new Set([AlertState.FIRING, AlertState.RECOVERING]);
