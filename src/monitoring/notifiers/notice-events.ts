import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { NoticeEventSchema, StoredNoticeSchema, ToldNoticeSchema } from "../../../gen/retake/v1/alert_event_pb.js";
import { AlertSeverity } from "../../../gen/retake/v1/alert_pb.js";
import { durationFromMs, msFromTimestamp, timestampFromMs } from "../../runs/index.ts";
import type { Severity } from "../alerts/rule.ts";
import type { Notice } from "./notice.ts";

/** What a notifier was told last of an alert. */
export interface Told extends Pick<Notice, "status" | "severity" | "labels"> {
  readonly acknowledgedBy: string;
  readonly timeMs: number;
}

/** How far the telling of an alert to a notifier is. */
export interface NoticeState {
  readonly wanted: Notice;
  /** When the acknowledgement is over; Infinity for never. */
  readonly acknowledgedUntilMs: number;
  /** Whether it has been told that the alert fires, or may have been. */
  readonly mayBeTold: boolean;
  readonly told: Told | undefined;
  readonly repeatMs: number;
}

export function noticeRecord({ wanted, told, ...state }: NoticeState, nowMs: number): Uint8Array {
  const until = state.acknowledgedUntilMs;
  const message = create(NoticeEventSchema, {
    time: timestampFromMs(nowMs),
    wanted: create(StoredNoticeSchema, {
      ...{ fingerprint: wanted.fingerprint, severity: alertSeverities[wanted.severity], value: wanted.value },
      ...{ labels: { ...wanted.labels }, annotations: { ...wanted.annotations } },
      startTime: timestampFromMs(wanted.startMs),
      ...(wanted.endMs !== undefined && { endTime: timestampFromMs(wanted.endMs) }),
      acknowledgedBy: wanted.acknowledgedBy ?? "",
      ...(Number.isFinite(until) && { acknowledgeExpireTime: timestampFromMs(until) }),
    }),
    mayBeTold: state.mayBeTold,
    repeatInterval: durationFromMs(state.repeatMs),
    ...(told && {
      told: create(ToldNoticeSchema, {
        time: timestampFromMs(told.timeMs),
        resolved: told.status === "resolved",
        severity: alertSeverities[told.severity],
        acknowledgedBy: told.acknowledgedBy,
        labels: { ...told.labels },
      }),
    }),
  });
  return toBinary(NoticeEventSchema, message);
}

/** Undefined for one that tells of no alert. */
export function readNoticeRecord(data: Uint8Array): NoticeState | undefined {
  const { wanted, mayBeTold, told, repeatInterval } = fromBinary(NoticeEventSchema, data);
  if (wanted === undefined) return undefined;
  const { acknowledgedBy, acknowledgeExpireTime: until } = wanted;
  return {
    wanted: {
      ...{ fingerprint: wanted.fingerprint, severity: severityOf(wanted.severity), value: wanted.value },
      ...{ labels: wanted.labels, annotations: wanted.annotations },
      status: wanted.endTime === undefined ? "firing" : "resolved",
      startMs: msFromTimestamp(wanted.startTime),
      ...(wanted.endTime && { endMs: msFromTimestamp(wanted.endTime) }),
      ...(acknowledgedBy !== "" && { acknowledgedBy }),
    },
    acknowledgedUntilMs: until === undefined ? Number.POSITIVE_INFINITY : msFromTimestamp(until),
    mayBeTold,
    told: told && {
      status: told.resolved ? "resolved" : "firing",
      severity: severityOf(told.severity),
      acknowledgedBy: told.acknowledgedBy,
      labels: told.labels,
      timeMs: msFromTimestamp(told.time),
    },
    repeatMs: repeatInterval === undefined ? 0 : durationMs(repeatInterval),
  };
}

export const alertSeverities: Readonly<Record<Severity, AlertSeverity>> = {
  warning: AlertSeverity.WARNING,
  critical: AlertSeverity.CRITICAL,
};

function severityOf(severity: AlertSeverity): Severity {
  return severity === AlertSeverity.CRITICAL ? "critical" : "warning";
}
