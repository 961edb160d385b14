import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { type Failure, type FailureCause, FailureCauseSchema, FailureSchema } from "../../../gen/retake/v1/run_pb.js";
import type { RandomSource } from "../../clock.ts";
import { createFailure, errorDomain, failureFromConnectError } from "../failure.ts";
import { newRunId } from "../run-id.ts";
import { msFromDuration } from "../time.ts";
import { boundFailure } from "./bounds.ts";
import { findByMessage, findByType } from "./find.ts";
import type { Finding } from "./finding.ts";
import { linksOf } from "./links.ts";
import { restated } from "./restated.ts";

export interface ClassifiedError {
  readonly failure: Failure;
  /** Whether the failure keeps something from its callers, which belongs in the log under its reference id. */
  readonly unexpected: boolean;
}

/**
 * Turns whatever a back-end threw into a failure. A ConnectError speaks for itself, by its code and its details. Of
 * anything else callers learn what is known of it, in the server's words and under a reference id: its own text stays on
 * the server, and so do the causes of both. Never throws.
 */
export function classifyError(error: unknown, random: RandomSource, nowMs: number): ClassifiedError {
  try {
    return error instanceof ConnectError ? classifyConnectError(error, random, nowMs) : classify(error, random, nowMs);
  } catch {
    // Proxies, getters and malformed details of strangers can throw anywhere.
    return unknown(newRunId(nowMs, random));
  }
}

function classifyConnectError(error: ConnectError, random: RandomSource, nowMs: number): ClassifiedError {
  const said = failureFromConnectError(error, nowMs);
  const other = isOwn(error) ? undefined : restated(said.code);
  const failure = other === undefined ? said : restatedFailure(said, other);
  const links = linksOf(error);
  const causes = other === undefined ? links.slice(1) : links;
  if (causes.length === 0) {
    return { failure, unexpected: false };
  }
  failure.causes.push(...causesOf(causes, nowMs));
  const unexpected = causes.some((cause) => !(cause instanceof ConnectError));
  if (unexpected && failure.referenceId === "") {
    failure.referenceId = newRunId(nowMs, random);
  }
  return { failure: boundFailure(failure), unexpected };
}

/** Whether this server has made it. What came from another one has yet to be decoded. */
function isOwn({ details }: ConnectError): boolean {
  return details.some(
    (detail) =>
      "desc" in detail &&
      (detail.desc.typeName === FailureSchema.typeName ||
        (detail.desc.typeName === ErrorInfoSchema.typeName && detail.value["domain"] === errorDomain)),
  );
}

/**
 * The same in other words. Of another attempt stays when, and that it is ruled out for good: whoever is late there may not
 * be late here.
 */
function restatedFailure({ message, retryDelay, final }: Failure, other: Finding): Failure {
  return createFailure({
    ...other,
    message:
      other.code === Code.Internal
        ? `the back-end refuses the server's own credentials: ${message}`
        : "the back-end ran out of time",
    retryable: other.retryable && !final,
    ...(retryDelay !== undefined && { retryDelayMs: msFromDuration(retryDelay) }),
    final,
  });
}

function classify(error: unknown, random: RandomSource, nowMs: number): ClassifiedError {
  const referenceId = newRunId(nowMs, random);
  const links = linksOf(error);
  const found = mostTelling(links, nowMs);
  if (found === undefined) {
    return unknown(referenceId);
  }
  const { code, reason, category, severity, retryable, retryDelayMs, final, text, sourceCode } = found;
  const shownCode = sourceCode === "" || text.includes(sourceCode) ? "" : ` (${sourceCode})`;
  const failure = createFailure({
    ...{ code, reason, category, severity, retryable, referenceId },
    message: `the workflow failed: ${text}${shownCode}; the server's log has more under reference ${referenceId}`,
    ...(retryDelayMs !== undefined && { retryDelayMs }),
    ...(final !== undefined && { final }),
  });
  failure.causes = causesOf(links, nowMs);
  return { failure: boundFailure(failure), unexpected: true };
}

function unknown(referenceId: string): ClassifiedError {
  const failure = createFailure({
    code: Code.Internal,
    reason: "INTERNAL",
    message: `the workflow failed unexpectedly; the server's log has the cause under reference ${referenceId}`,
    category: FailureCategory.UNKNOWN,
    referenceId,
  });
  return { failure, unexpected: true };
}

/** Codes and types say more than words, whichever error of the chain has them. */
function mostTelling(links: readonly unknown[], nowMs: number): Finding | undefined {
  const byType = links.map((link) => findByType(link, nowMs));
  return (
    byType.find((found) => found !== undefined && found.vague !== true) ??
    firstOf(links, findByMessage) ??
    byType.find((found) => found !== undefined)
  );
}

/** What callers learn of the errors of a chain: of those that say nothing that is known, not even that they are there. */
function causesOf(links: readonly unknown[], nowMs: number): FailureCause[] {
  const told = links.map((link) => {
    const byType = findByType(link, nowMs);
    return byType === undefined || byType.vague === true ? (findByMessage(link) ?? byType) : byType;
  });
  const telling = told.filter((found) => found !== undefined && found.vague !== true);
  const shown = telling.length > 0 ? telling : told;
  return shown.flatMap((found) =>
    found === undefined
      ? []
      : [create(FailureCauseSchema, { reason: found.reason, code: found.sourceCode, message: found.text })],
  );
}

function firstOf<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}
