export type { TlsOptions } from "../transport/index.ts";
export type {
  ArtifactDownload,
  ArtifactListFilter,
  ArtifactSource,
  ArtifactsClient,
  GetOptions,
  PutOptions,
} from "./artifacts.ts";
export type {
  RetakeChannelOptions,
  RetakeClientOptions,
  RetakeConnectionOptions,
  RetakeTransportOptions,
} from "./client-options.ts";
export type { RunFilter } from "./list-runs.ts";
export { connectRetake, type RetakeClient } from "./retake-client.ts";
export {
  RunCancelledError,
  RunError,
  type RunErrorState,
  RunExpiredError,
  RunFailedError,
} from "./run-error.ts";
export type { CallOptions, EventsOptions, RerunOptions, RunHandle, WorkflowMethod } from "./run-handle.ts";
export type { StartOptions } from "./start-run.ts";
export { isTerminal } from "./terminal.ts";
export type { Reconnection, RunUpdate } from "./watch-run.ts";
