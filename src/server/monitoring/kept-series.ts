import type { Monitoring } from "../start-monitoring.ts";
import { monitoringDisabled } from "./watched-alerts.ts";

/** What the server keeps of its metrics. @throws ConnectError where it keeps nothing */
export async function keptSeries(
  monitoring: Promise<Monitoring | undefined>,
): Promise<NonNullable<Monitoring["series"]>> {
  const series = (await monitoring)?.series;
  if (series === undefined) throw monitoringDisabled();
  return series;
}
