import { Code } from "@connectrpc/connect";
import { createError, type Journal, journalUnavailable } from "../../runs/index.ts";
import type { Alerts } from "../alerts.ts";

/** The alerts of a server. @throws ConnectError where it has none */
export async function watchedAlerts(alerts: Promise<Alerts | undefined>): Promise<Alerts> {
  const found = await alerts;
  if (found === undefined) throw monitoringDisabled();
  return found;
}

export function monitoringDisabled() {
  return createError(
    Code.FailedPrecondition,
    "MONITORING_DISABLED",
    "this server watches over nothing: telemetry or monitoring is disabled in its configuration, or could not be started, as its log says",
  );
}

/** @throws ConnectError UNAVAILABLE while nothing can be stored */
export function assertStorable({ status }: Pick<Journal, "status">): void {
  if (status.kind === "failing") throw journalUnavailable(status.cause);
}
