export type { FirstAdminKey } from "./authentication.ts";
export {
  createServer,
  type RetakeServer,
  type ServerAddress,
  type ServerOptions,
  type Storage,
  type WorkflowImpl,
} from "./server.ts";
export type { HostProcess } from "./uncaught-errors.ts";
