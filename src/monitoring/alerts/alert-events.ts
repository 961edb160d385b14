import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type AlertEvent,
  AlertEventSchema,
  type AlertTracker,
  AlertTrackerSchema,
} from "../../../gen/retake/v1/alert_event_pb.js";
import { type Acknowledgement, AlertCause, AlertState } from "../../../gen/retake/v1/alert_pb.js";
import { msFromTimestamp, timestampFromMs } from "../../runs/index.ts";
import type { Alert } from "./alert.ts";
import { inactive, type TrackerState } from "./tracker.ts";

/** What a record of a rule's stream tells. */
export type AlertRecord =
  | { readonly kind: "moved"; readonly timeMs: number; readonly alert: Alert }
  | {
      readonly kind: "acknowledged";
      readonly timeMs: number;
      readonly alert: Pick<Alert, "cause" | "labels">;
      readonly acknowledgement: Acknowledgement | undefined;
    };

export function movedRecord({ cause, labels, value, trackers }: Alert, nowMs: number): Uint8Array {
  const warning = trackerMessage(trackers.warning);
  const critical = trackerMessage(trackers.critical);
  return encoded(nowMs, {
    case: "moved",
    value: {
      ...{ cause: causes[cause], labels: { ...labels }, value },
      ...(warning && { warning }),
      ...(critical && { critical }),
    },
  });
}

export function acknowledgedRecord(
  { cause, labels }: Pick<Alert, "cause" | "labels">,
  acknowledgement: Acknowledgement | undefined,
  nowMs: number,
): Uint8Array {
  return encoded(nowMs, {
    case: "acknowledged",
    value: { cause: causes[cause], labels: { ...labels }, ...(acknowledgement && { acknowledgement }) },
  });
}

/** What a record of the stream of that rule tells; undefined for one of a newer version. */
export function readAlertRecord(rule: string, data: Uint8Array): AlertRecord | undefined {
  const { time, event } = fromBinary(AlertEventSchema, data);
  const timeMs = msFromTimestamp(time);
  switch (event.case) {
    case "moved": {
      const { cause, labels, value, warning, critical } = event.value;
      const trackers = { warning: trackerState(warning), critical: trackerState(critical) };
      return { kind: "moved", timeMs, alert: { rule, cause: causeOf(cause), labels, value, trackers } };
    }
    case "acknowledged": {
      const { cause, labels, acknowledgement } = event.value;
      return { kind: "acknowledged", timeMs, alert: { cause: causeOf(cause), labels }, acknowledgement };
    }
    default:
      return undefined;
  }
}

export const causes: Readonly<Record<Alert["cause"], AlertCause>> = {
  threshold: AlertCause.THRESHOLD,
  no_data: AlertCause.NO_DATA,
  error: AlertCause.ERROR,
};

export const states: Readonly<Record<TrackerState["kind"], AlertState>> = {
  inactive: AlertState.UNSPECIFIED,
  pending: AlertState.PENDING,
  firing: AlertState.FIRING,
  recovering: AlertState.RECOVERING,
  resolved: AlertState.RESOLVED,
};

function causeOf(cause: AlertCause): Alert["cause"] {
  if (cause === AlertCause.NO_DATA) return "no_data";
  return cause === AlertCause.ERROR ? "error" : "threshold";
}

function encoded(nowMs: number, event: MessageInitShape<typeof AlertEventSchema>["event"]): Uint8Array {
  const message: AlertEvent = create(AlertEventSchema, { time: timestampFromMs(nowMs), ...(event && { event }) });
  return toBinary(AlertEventSchema, message);
}

function trackerMessage(state: TrackerState): AlertTracker | undefined {
  if (state.kind === "inactive") return undefined;
  return create(AlertTrackerSchema, {
    state: states[state.kind],
    activeTime: timestampFromMs(state.activeMs),
    ...("firedMs" in state && { fireTime: timestampFromMs(state.firedMs) }),
    ...("missedMs" in state && { missTime: timestampFromMs(state.missedMs) }),
    ...("resolvedMs" in state && { resolveTime: timestampFromMs(state.resolvedMs) }),
  });
}

function trackerState(message: AlertTracker | undefined): TrackerState {
  if (message === undefined) return inactive;
  const activeMs = msFromTimestamp(message.activeTime);
  const firedMs = msFromTimestamp(message.fireTime);
  switch (message.state) {
    case AlertState.PENDING:
      return { kind: "pending", activeMs };
    case AlertState.FIRING:
      return { kind: "firing", activeMs, firedMs };
    case AlertState.RECOVERING:
      return { kind: "recovering", activeMs, firedMs, missedMs: msFromTimestamp(message.missTime) };
    case AlertState.RESOLVED:
      return { kind: "resolved", activeMs, firedMs, resolvedMs: msFromTimestamp(message.resolveTime) };
    default:
      return inactive;
  }
}
