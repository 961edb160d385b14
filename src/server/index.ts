export {
  createServer,
  type RetakeServer,
  type ServerAddress,
  type ServerOptions,
  type Storage,
  type WorkflowImpl,
} from "./server.ts";
