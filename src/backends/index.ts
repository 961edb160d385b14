export type { Backend, BackendCall, FailedJob, Job, JobHealth } from "./backend.ts";
export { BackendCallMetrics } from "./call-metrics.ts";
export {
  type Channel,
  type ConnectEndpoint,
  connectEndpoint,
  type EndpointSettings,
  type EndpointStanding,
  Endpoints,
  type ServiceBackend,
  type ServiceEndpoints,
} from "./endpoints.ts";
export { createInProcessBackend, type ServiceJobs, type WorkflowHandler } from "./in-process.ts";
export { type InvokeOptions, invoke } from "./invoke.ts";
export { probeWorkflow } from "./probe-workflow.ts";
export { Recoveries } from "./recoveries.ts";
export { descriptorSetHint, ReflectionError, reflectContracts } from "./reflection.ts";
export type { BackendTelemetry } from "./remote.ts";
export { withheldError } from "./withheld.ts";
