// What is needed from the start on. It needs nothing of OpenTelemetry's SDK, whose modules would hold up a server that
// starts.
export { ForwardedAudit } from "./forwarded-audit.ts";
export { ForwardedLog, type LogLine } from "./forwarded-log.ts";
export { type OtelEnvironment, type OtelVariables, readOtelEnvironment } from "./otel-environment.ts";
export { RunMetrics } from "./run-metrics.ts";
export { type SevereFailure, SevereFailures } from "./severe-failures.ts";
