export type { Backend, BackendCall } from "./backend.ts";
export { connectEndpoint, type EndpointSettings, Endpoints, type ServiceEndpoints } from "./endpoints.ts";
export { createInProcessBackend, type WorkflowHandler } from "./in-process.ts";
export { type InvokeOptions, invoke } from "./invoke.ts";
export { ReflectionError, reflectContracts } from "./reflection.ts";
