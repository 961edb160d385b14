export { ReflectionError } from "./backends/index.ts";
export { ConfigError, loadConfig, parseConfig } from "./config/index.ts";
export { ContractError } from "./contract/index.ts";
export {
  type ArtifactContent,
  type ArtifactDraft,
  call,
  type FailInit,
  fail,
  JournalOpenError,
  type OpenArtifact,
  type PreviousAttempt,
  type RunArtifacts,
  type RunContext,
  type StepOptions,
  type StepRetry,
  type StepTry,
  step,
  type WorkflowContext,
} from "./runs/index.ts";
export {
  createServer,
  type RetakeServer,
  type ServerAddress,
  type ServerOptions,
  type WorkflowImpl,
} from "./server/index.ts";
