export type { Backend, BackendCall } from "./backend.ts";
export { createInProcessBackend, inProcessEndpoint, type WorkflowHandler } from "./in-process.ts";
export { type InvokeOptions, invoke } from "./invoke.ts";
export { createRemoteBackend } from "./remote.ts";
