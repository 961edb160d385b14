import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureCategory } from "../../gen/retake/v1/options_pb.js";
import { type Failure, FailureSchema, FailureSeverity } from "../../gen/retake/v1/run_pb.js";
import { boundFailure } from "./failures/bounds.ts";
import { kindOfReason } from "./failures/kinds.ts";
import { reasonOfMessage } from "./failures/messages.ts";
import { retryAfterMs } from "./failures/retry-after.ts";
import { durationFromMs, msFromDuration } from "./time.ts";

/** The domain of the `ErrorInfo` in our errors. */
export const errorDomain = "retake.v1";

const retryPushback = "grpc-retry-pushback-ms";

/** Causes that the server itself names in `Failure.reason`. */
export type FailureReason =
  | "ATTEMPT_TIMEOUT"
  | "STALLED"
  | "INTERRUPTED"
  | "INTERRUPTED_BY_ANOTHER_RUN"
  | "HANDED_BACK"
  | "CRASH_LOOP"
  | "UNCAUGHT_ERROR"
  | "CANCELLED"
  | "DEADLINE"
  | "NO_RESULT"
  | "RESULT_TOO_LARGE"
  | "INVALID_RESULT"
  | "PAYLOAD_LOST"
  | "INTERNAL";

/** Codes by which a back-end says that the request, and not the moment, is wrong. */
const hopelessCodes: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
  Code.Unauthenticated,
]);

/** Whether the code says that another attempt would end the same way. A policy may know better and list it. */
export function isHopeless(code: Code): boolean {
  return hopelessCodes.has(code);
}

export interface FailureInit {
  readonly code: Code;
  readonly reason: FailureReason | (string & {});
  readonly message: string;
  readonly category?: FailureCategory;
  readonly severity?: FailureSeverity;
  readonly retryable?: boolean;
  readonly retryDelayMs?: number;
  readonly referenceId?: string;
  /** Whether no policy may retake it. */
  readonly final?: boolean;
}

/** The longest wait that a failure may ask for: what is longer can only be a mistake, and upsets clocks further on. */
const longestRetryDelayMs = 365 * 86_400_000;

/** A failure with what its code says where nothing else does, or says what there is not: its maker may be a stranger. */
export function createFailure(init: FailureInit): Failure {
  const code = isCode(init.code) ? init.code : Code.Internal;
  const category = isMember(FailureCategory, init.category) ? init.category : categoryOfCode(code);
  const { retryDelayMs } = init;
  return create(FailureSchema, {
    code,
    category,
    severity: isMember(FailureSeverity, init.severity) ? init.severity : severityOf(code, category),
    reason: init.reason || codeName(code),
    message: init.message,
    retryable: init.retryable ?? !hopelessCodes.has(code),
    ...(Number.isFinite(retryDelayMs) && {
      retryDelay: durationFromMs(Math.min(retryDelayMs ?? 0, longestRetryDelayMs)),
    }),
    referenceId: init.referenceId ?? "",
    final: init.final ?? false,
  });
}

/** Whether it is one of the codes that an error can have. */
export function isCode(code: unknown): code is Code {
  return typeof code === "number" && codeNames[code] !== undefined;
}

/** Whether it is one of an enum's values, and not its UNSPECIFIED. */
function isMember<T extends number>(values: Readonly<Record<number, string>>, value: T | undefined): value is T {
  return typeof value === "number" && value !== 0 && values[value] !== undefined;
}

/**
 * What a ConnectError says: the Failure among its details, and where that leaves something out, its code and standard
 * details. It is the caller's own: an error may be thrown twice. A `Retry-After` that is a date is read where the time is
 * given.
 */
export function failureFromConnectError(error: ConnectError, nowMs = Number.NaN): Failure {
  const [own] = error.findDetails(FailureSchema);
  if (own !== undefined) {
    return completed(clone(FailureSchema, own), error, nowMs);
  }
  const failure = createFailure(standardReading(error, error.code, nowMs));
  for (const detail of error.details) {
    if ("type" in detail) {
      failure.details.push(create(AnySchema, { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value }));
    }
  }
  return boundFailure(failure);
}

/** What an error says beside a Failure, by the code that holds, and a reason if it has been named. */
function standardReading(error: ConnectError, code: Code, nowMs: number, named = ""): FailureInit {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  const pushbackMs = pushback(error.metadata.get(retryPushback));
  const retryDelayMs =
    retry?.retryDelay === undefined
      ? (pushbackMs ?? retryAfterMs(error.metadata.get("retry-after") ?? "", nowMs))
      : msFromDuration(retry.retryDelay);
  const text = vagueCodes.has(code) ? (reasonOfMessage(error.rawMessage) ?? "") : "";
  // Another domain's reasons may be spelt like ours, and mean something else.
  const known = info?.domain === errorDomain ? info.reason : text;
  return {
    code,
    reason: named || info?.reason || text,
    message: error.rawMessage,
    ...kindOfStatus(code, kindOfReason(named) === undefined ? known : named),
    ...(pushbackMs === -1 ? { retryable: false, final: true } : {}),
    ...(retryDelayMs === undefined || retryDelayMs < 0 ? {} : { retryDelayMs }),
  };
}

/** A failure that somebody else has made, with what the rest of its error says where it leaves something out. */
function completed(own: Failure, error: ConnectError, nowMs: number): Failure {
  const saysCode = isCode(own.code);
  const { retryDelayMs = -1, ...read } = standardReading(error, saysCode ? own.code : error.code, nowMs, own.reason);
  const ownDelayMs = own.retryDelay === undefined ? -1 : msFromDuration(own.retryDelay);
  const delayMs = ownDelayMs < 0 ? retryDelayMs : ownDelayMs;
  // Whoever has left out the code has left out this as well: no field without presence can say so itself.
  const saysWhether = saysCode || own.retryable || own.final;
  const failure = createFailure({
    ...read,
    ...(isMember(FailureCategory, own.category) && { category: own.category }),
    ...(isMember(FailureSeverity, own.severity) && { severity: own.severity }),
    message: own.message || read.message,
    ...(saysWhether && { retryable: own.retryable && !own.final, final: own.final }),
    // A pushback of 0 is what servers of our kind make of a Failure that leaves the wait to the policy.
    ...(delayMs >= (saysCode && ownDelayMs < 0 ? 1 : 0) && { retryDelayMs: delayMs }),
    referenceId: own.referenceId,
  });
  failure.details = own.details;
  failure.causes = own.causes;
  return boundFailure(failure);
}

/** A failure as the error that callers get: its code, with `ErrorInfo`, `RetryInfo` and the Failure as details. */
export function errorFromFailure(failure: Failure, cause?: unknown): ConnectError {
  const error = createError(failure.code, failure.reason, failure.message, {
    ...(failure.retryDelay === undefined ? {} : { retryDelayMs: msFromDuration(failure.retryDelay) }),
    cause,
  });
  error.details.push({ desc: FailureSchema, value: failure });
  error.metadata.set(retryPushback, failure.retryable ? String(Math.ceil(msFromDuration(failure.retryDelay))) : "-1");
  return error;
}

export interface ErrorOptions {
  readonly retryDelayMs?: number;
  readonly cause?: unknown;
  readonly metadata?: Record<string, string>;
}

/** An error of the server's own, with `ErrorInfo`, and `RetryInfo` and its pushback where waiting helps. */
export function createError(code: Code, reason: string, message: string, options?: ErrorOptions): ConnectError {
  const error = new ConnectError(message, code, undefined, undefined, options?.cause);
  error.details.push({ desc: ErrorInfoSchema, value: errorInfo(reason, options?.metadata) });
  if (options?.retryDelayMs !== undefined) {
    error.details.push({ desc: RetryInfoSchema, value: retryInfo(options.retryDelayMs) });
    pushBack(error, options.retryDelayMs);
  }
  return error;
}

export function errorInfo(
  reason: string,
  metadata: Record<string, string> = {},
): MessageInitShape<typeof ErrorInfoSchema> {
  return { reason, domain: errorDomain, metadata };
}

export function retryInfo(retryDelayMs: number): MessageInitShape<typeof RetryInfoSchema> {
  return { retryDelay: durationFromMs(retryDelayMs) };
}

/** Says in its metadata what `RetryInfo` says in an error's details. */
export function pushBack(error: ConnectError, retryDelayMs: number): void {
  // For gRPC clients that retry by their service config (gRFC A6).
  error.metadata.set(retryPushback, String(Math.ceil(retryDelayMs)));
  // And for whoever calls over HTTP, and for proxies on the way.
  error.metadata.set("retry-after", String(Math.ceil(retryDelayMs / 1000)));
}

/** Whether an attempt ended with its process and not by failing. */
export function isInterruption(failure: Failure | undefined): boolean {
  return failure?.reason === "INTERRUPTED" || failure?.reason === "HANDED_BACK" || isBystanders(failure);
}

/** Whether an attempt ended with its process because of another run: it says nothing about this one. */
export function isBystanders(failure: Failure | undefined): boolean {
  return failure?.reason === "INTERRUPTED_BY_ANOTHER_RUN";
}

function pushback(value: string | null): number | undefined {
  if (value === null) {
    return undefined;
  }
  // gRFC A6: a value that cannot be read means "do not retry".
  return /^\d{1,9}$/.test(value) ? Number(value) : -1;
}

/** Codes that leave open what kind of trouble it is: servers send them for exceptions that they do not know. */
const vagueCodes: ReadonlySet<Code> = new Set([Code.Unknown, Code.Internal, Code.ResourceExhausted]);

/** A reason that is ours says what kind of trouble it is where the code does not. What the code says stays. */
function kindOfStatus(code: Code, reason: string): Pick<FailureInit, "category" | "severity" | "retryable"> {
  const kind = vagueCodes.has(code) ? kindOfReason(reason) : undefined;
  return kind === undefined
    ? {}
    : { category: kind.category, severity: kind.severity, ...(!kind.retryable && { retryable: false }) };
}

/** The name of a code, as gRPC spells it: "RESOURCE_EXHAUSTED". */
export function codeName(code: Code): string {
  return codeNames[code] ?? "UNKNOWN";
}

/** By their numbers. Made once: every call that fails asks for one. */
const codeNames: readonly (string | undefined)[] = Array.from({ length: Code.Unauthenticated + 1 }, (_, code) =>
  code === Code.Canceled ? "CANCELLED" : Code[code]?.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(),
);

export function categoryOfCode(code: Code): FailureCategory {
  switch (code) {
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return FailureCategory.VALIDATION;
    case Code.Unavailable:
    case Code.DeadlineExceeded:
      return FailureCategory.NETWORK;
    case Code.Internal:
    case Code.DataLoss:
      return FailureCategory.SYSTEM;
    case Code.Unknown:
      return FailureCategory.UNKNOWN;
    default:
      return FailureCategory.WORKFLOW;
  }
}

function severityOf(code: Code, category: FailureCategory): FailureSeverity {
  if (code === Code.DataLoss || category === FailureCategory.MEMORY) {
    return FailureSeverity.CRITICAL;
  }
  if (category === FailureCategory.VALIDATION || code === Code.Canceled) {
    return FailureSeverity.LOW;
  }
  return category === FailureCategory.NETWORK || code === Code.Aborted ? FailureSeverity.MEDIUM : FailureSeverity.HIGH;
}
