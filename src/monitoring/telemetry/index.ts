// What is measured from the start on. It needs nothing of OpenTelemetry's SDK, whose modules would hold up a server that
// starts.
export { RunMetrics } from "./run-metrics.ts";
