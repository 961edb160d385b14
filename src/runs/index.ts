export { Acceptance, type AcceptedRun, type RunOrder } from "./acceptance.ts";
export { ArtifactRetention, type ArtifactTimes } from "./artifact-retention.ts";
export { artifactConnectError, artifactMessage, unknownArtifact } from "./artifacts/connect-error.ts";
export type { ArtifactContent, ArtifactDraft, OpenArtifact, RunArtifacts } from "./artifacts/run-artifacts.ts";
export { AttemptScope, AttemptScopes } from "./attempt-scopes.ts";
export {
  AttemptWork,
  type AttemptWorkServices,
  type StepOptions,
  type StepRetry,
  type StepTry,
} from "./attempt-work.ts";
export { backoffMs } from "./backoff.ts";
export { fallbackEnded, fallbackSkipped, fallbackStarted, parked } from "./bodies.ts";
export type { Breaker, BreakerRefusal, Fitness, Forcing, Verdict } from "./breakers/breaker.ts";
export { Breakers, type BreakerTransition, type ListedBreaker } from "./breakers/breakers.ts";
export { holdAtBreaker } from "./breakers/hold-at-breaker.ts";
export { failsOnOpen, leavesOnOpen } from "./breakers/on-open.ts";
export { verdictOf } from "./breakers/verdict.ts";
export { ContractCheck } from "./contract-check.ts";
export type { Crash } from "./crash.ts";
export { decodeCopy } from "./decode-copy.ts";
export {
  Delegation,
  type DelegationBlocked,
  type DelegationOptions,
  type DelegationPlan,
  type DelegationStatus,
} from "./delegation.ts";
export { crashLoop, endError } from "./end-error.ts";
export { equalBytes } from "./equal-bytes.ts";
export { draining, journalUnavailable, unknownRun } from "./errors.ts";
export {
  codeName,
  createError,
  createFailure,
  errorDomain,
  errorFromFailure,
  type FailureInit,
  failureFromConnectError,
  isHopeless,
  isInterruption,
} from "./failure.ts";
export { isBackendsFailure, isCallersMistake } from "./failures/callers-mistake.ts";
export { channelError } from "./failures/channel-error.ts";
export { type ClassifiedError, classifyError } from "./failures/classify.ts";
export { type FailInit, fail } from "./failures/fail.ts";
export { restated } from "./failures/restated.ts";
export { retryAfterMs } from "./failures/retry-after.ts";
export { uncaughtFailure } from "./failures/uncaught.ts";
export { failureOfAll, fallbackTry, untriedFallbacks } from "./fallback-tries.ts";
export { type Drill, Faults, longestFaultMs } from "./faults.ts";
export {
  type ActivityListener,
  type Attempt,
  composeRun,
  type Disturb,
  type Hold,
  type Outcome,
  type Pausable,
  type RunHandler,
  type RunInterceptor,
  type RunRequest,
  type Turn,
} from "./handler.ts";
export { HeldInputs } from "./held-inputs.ts";
export { workflowLimitKey } from "./in-line.ts";
export type { LiveRun } from "./live-run.ts";
export { LiveRuns } from "./live-runs.ts";
export {
  type LoadSignal,
  Overload,
  type OverloadState,
  type OverloadThresholds,
} from "./load/overload.ts";
export { type Logger, silentLogger } from "./logger.ts";
export { recordsOf, streamsNamed } from "./named-streams.ts";
export { type PastRun, pastChanges } from "./past-changes.ts";
export { type Pause, Pauses, pauseReason } from "./pauses.ts";
export { isLost } from "./payload-loss.ts";
export { PolicyOverrides, type StoredOverride } from "./policy-overrides.ts";
export { ArtifactError, type ArtifactFilter, type Artifacts, type StoredArtifact } from "./ports/artifacts.ts";
export type { Feed, FeedHint } from "./ports/feed.ts";
export type { Blocked, EndpointSlots, Gates, Limit, Permit, PermitRequest } from "./ports/gates.ts";
export {
  type Journal,
  JournalConflictError,
  JournalOpenError,
  JournalUnavailableError,
  type RunFilter,
  type RunIndexRow,
  type RunOwner,
  runStream,
  type StreamAppend,
} from "./ports/journal.ts";
export type { Outbox } from "./ports/outbox.ts";
export {
  digestOf,
  type PayloadCodec,
  PayloadDamagedError,
  type Payloads,
  type PutOptions,
  payloadDigest,
  type StoredPayload,
} from "./ports/payloads.ts";
export type { RunChange, RunObserver } from "./ports/run-observer.ts";
export type { Scheduler } from "./ports/scheduler.ts";
export { type QualityAlert, QualityLevels, type QualityStatus } from "./quality-levels/quality-levels.ts";
export { canLowerQuality, runQuality } from "./quality-levels/run-quality.ts";
export { recover } from "./recovery.ts";
export type { RecoveryStep } from "./recovery-step.ts";
export { ReplacedRecord } from "./replaced-record.ts";
export { Retakes } from "./retakes.ts";
export { Retention, type RetentionLimit, retireAtMs } from "./retention.ts";
export type { RetryBudget } from "./retry-budget.ts";
export { type BackendBudget, RetryBudgets } from "./retry-budgets.ts";
export { newRunId } from "./run-id.ts";
export { runPages } from "./run-pages.ts";
export {
  type FailedAttempt,
  IllegalEventError,
  isTerminal,
  openStates,
  type RunEventBody,
  type RunEventKind,
  type RunRecord,
  reduceRun,
} from "./run-record.ts";
export { viewRun, withValue } from "./run-view.ts";
export { StoredRetryBudgets } from "./stored-retry-budgets.ts";
export { StoredSettings, type StoredSettingsOptions } from "./stored-settings.ts";
export { durationFromMs, eventTimeMs, msFromDuration, msFromTimestamp, timestampFromMs } from "./time.ts";
export { Turns } from "./turns.ts";
export { untilAborted } from "./until-aborted.ts";
export { type Sight, Watch } from "./watch.ts";
export { within } from "./within.ts";
export {
  call,
  createWorkflowContext,
  type PreviousAttempt,
  type RunContext,
  step,
  type WorkflowContext,
} from "./workflow-context.ts";
