import type { ServiceImpl } from "@connectrpc/connect";
import type { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import type { SevereFailures } from "../monitoring/telemetry/index.ts";
import type { UserMetrics } from "../user-metrics.ts";
import type { Alerts } from "./alerts.ts";
import type { Engine } from "./engine.ts";
import { alertRuleMethods } from "./monitoring/alert-rules.ts";
import { alertMethods } from "./monitoring/alerts.ts";
import { recordMethods } from "./monitoring/records.ts";
import { reportMethods } from "./monitoring/report.ts";
import { seriesMethods } from "./monitoring/series.ts";
import { silenceMethods } from "./monitoring/silences.ts";
import { statusMethods } from "./monitoring/status.ts";
import type { Monitoring } from "./start-monitoring.ts";
import type { StatusBoard } from "./status-board.ts";

export interface MonitoringServiceOptions {
  readonly engine: Engine;
  readonly board: StatusBoard;
  readonly userMetrics: UserMetrics;
  /** Resolves with nothing where nothing is measured. */
  readonly monitoring: Promise<Monitoring | undefined>;
  /** Resolves with nothing where nobody watches over anything. */
  readonly alerts: Promise<Alerts | undefined>;
  readonly severe: SevereFailures;
}

/** `retake.v1.MonitoringService`: one file of `monitoring/` a topic. Requests have passed their rules. */
export function createMonitoringService(options: MonitoringServiceOptions): ServiceImpl<typeof MonitoringService> {
  return {
    ...statusMethods(options),
    ...seriesMethods(options),
    ...recordMethods(options),
    ...reportMethods(options),
    ...alertMethods(options),
    ...silenceMethods(options),
    ...alertRuleMethods(options),
  };
}
