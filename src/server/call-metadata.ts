import { Code, type HandlerContext } from "@connectrpc/connect";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import type { Workflow } from "../contract/index.ts";
import { qualityLevels, qualityNamed } from "../quality-names.ts";
import { createError } from "../runs/index.ts";
import { type TraceFields, traceFields } from "../trace-fields.ts";
import { readTraceparent, readTracestate, untraced } from "../traceparent.ts";
import { isCallHeaders } from "../transport/index.ts";

const maxKeyLength = 256;
/** As in StartRunRequest. */
const highestPriority = 100;

/** What lines of the log about a call say of its trace. */
export function callFields({ requestHeader }: Pick<HandlerContext, "requestHeader">): TraceFields {
  return traceFields(requestHeader.get("traceparent"));
}

/** The one key that a call carries, in either of two places. @throws ConnectError INVALID_ARGUMENT */
export function callKey(outer: string, inField: string, outerName: string): string {
  if (outer !== "" && inField !== "" && outer !== inField) {
    throw createError(
      Code.InvalidArgument,
      "KEY_MISMATCH",
      `the ${outerName} and the request's own field carry different idempotency keys: send one, or the same`,
    );
  }
  const key = outer || inField;
  if (key.length > maxKeyLength) {
    throw createError(
      Code.InvalidArgument,
      "KEY_TOO_LONG",
      `an idempotency key has at most ${maxKeyLength} characters, and this one has ${key.length}`,
    );
  }
  return key;
}

/** The idempotency key in a call's metadata; empty for none. @throws ConnectError INVALID_ARGUMENT */
export function metadataKey(header: Headers): string {
  const key = header.get("idempotency-key");
  return key === null ? "" : printable("idempotency-key", key);
}

/** The priority that a call asks for; 0 for none. @throws ConnectError INVALID_ARGUMENT */
export function priorityOf(header: Headers): number {
  const value = header.get("retake-priority");
  if (value === null) {
    return 0;
  }
  const priority = /^-?\d{1,3}$/.test(value) ? Number(value) : Number.NaN;
  if (!(Math.abs(priority) <= highestPriority)) {
    throw createError(
      Code.InvalidArgument,
      "INVALID_METADATA",
      `the metadata retake-priority is a whole number from -${highestPriority} to ${highestPriority}, and not ${JSON.stringify(value)}`,
    );
  }
  return priority;
}

const nothing: Readonly<Record<string, string>> = {};

/**
 * The metadata that is forwarded to the back-end: what the workflow's policy names, and what belongs to a trace.
 * @param traceparent the caller's, without which nothing else of a trace means anything
 * @throws ConnectError INVALID_ARGUMENT
 */
export function forwardedMetadata(
  { policy }: Workflow,
  header: Headers,
  traceparent: string,
): Readonly<Record<string, string>> {
  const tracestate = traceparent === "" || traceparent === untraced ? "" : readTracestate(header.get("tracestate"));
  if (policy.forwardMetadata.length === 0 && tracestate === "") {
    return nothing;
  }
  const forwarded: Record<string, string> = {};
  for (const name of policy.forwardMetadata) {
    const value = header.get(name);
    if (value !== null) {
      forwarded[name] = printable(name, value);
    }
  }
  if (tracestate !== "") forwarded["tracestate"] = tracestate;
  return forwarded;
}

/** What was forwarded, for whoever does the same in another trace. */
export function metadataElsewhere(forwarded: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (!("tracestate" in forwarded)) return forwarded;
  const { tracestate: _, ...others } = forwarded;
  return others;
}

/** The least quality that a call takes, by its metadata; not set without. @throws ConnectError INVALID_ARGUMENT */
export function minQualityOf(header: Headers): Quality {
  const text = header.get("retake-min-quality");
  if (text === null) {
    return Quality.UNSPECIFIED;
  }
  const quality = qualityNamed(text);
  if (quality === undefined) {
    throw createError(
      Code.InvalidArgument,
      "INVALID_METADATA",
      `the metadata retake-min-quality is one of ${qualityLevels.map((level) => Quality[level]).join(", ")}`,
    );
  }
  return quality;
}

/** HTTP has no one character set for what is above ASCII, and gRPC carries none of it. */
function printable(name: string, value: string): string {
  if (/[^ -~]/.test(value)) {
    throw createError(Code.InvalidArgument, "INVALID_METADATA", `the metadata ${name} must be printable ASCII`);
  }
  return value;
}

/**
 * The caller's trace context, if it sent a well-formed one (W3C Trace Context), and `untraced` where it sent none and no spans
 * are kept of the call.
 */
export function traceparentOf(header: Headers): string {
  if (isCallHeaders(header) && header.isDeferred("traceparent")) return untraced;
  return readTraceparent(header.get("traceparent"));
}
