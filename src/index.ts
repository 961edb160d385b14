export {
  type FailedJob,
  type Job,
  type JobHealth,
  ReflectionError,
  type ServiceJobs,
} from "./backends/index.ts";
export { ConfigError, loadConfig, parseConfig } from "./config/index.ts";
export { ContractError, type FallbackConverter } from "./contract/index.ts";
export {
  type ArtifactContent,
  type ArtifactDraft,
  call,
  type FailInit,
  type Fitness,
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
export type { Authenticator, Credentials, Principal } from "./security/index.ts";
export {
  createServer,
  type RetakeServer,
  type ServerAddress,
  type ServerOptions,
  type WorkflowImpl,
} from "./server/index.ts";
export type { HandlerMetrics, UserAttributes, UserHistogramOptions, UserMetricOptions } from "./user-metrics.ts";
