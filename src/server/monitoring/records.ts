import { Code, type ServiceImpl } from "@connectrpc/connect";
import { MetricKind, type MetricRecord, type MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { createError } from "../../runs/index.ts";
import { UserMetricError, type UserMetricKind, type UserRecord } from "../../user-metrics.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import { monitoringDisabled } from "./watched-alerts.ts";

type RecordMethods = Pick<ServiceImpl<typeof MonitoringService>, "recordMetric">;

const codes: Readonly<Record<UserMetricError["reason"], Code>> = {
  INVALID_METRIC: Code.InvalidArgument,
  METRIC_MISMATCH: Code.InvalidArgument,
  TOO_MANY_METRICS: Code.ResourceExhausted,
};

/** What callers measure themselves. */
export function recordMethods({ userMetrics }: MonitoringServiceOptions): RecordMethods {
  return {
    recordMetric({ records }) {
      if (!userMetrics.enabled) throw monitoringDisabled();
      try {
        userMetrics.record(records.map(userRecord));
      } catch (error) {
        if (error instanceof UserMetricError) throw createError(codes[error.reason], error.reason, error.message);
        throw error;
      }
      return {};
    },
  };
}

const kinds: Readonly<Record<MetricKind, UserMetricKind>> = {
  // Its rules let nobody leave it out.
  [MetricKind.UNSPECIFIED]: "gauge",
  [MetricKind.COUNTER]: "counter",
  [MetricKind.GAUGE]: "gauge",
  [MetricKind.HISTOGRAM]: "histogram",
};

function userRecord({ kind, ...record }: MetricRecord): UserRecord {
  return { ...record, kind: kinds[kind] };
}
