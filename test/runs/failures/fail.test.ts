import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import { failureFromConnectError } from "../../../src/runs/failure.ts";
import { type FailInit, fail } from "../../../src/runs/failures/fail.ts";
import { msFromDuration } from "../../../src/runs/time.ts";

function failureOf(init: FailInit) {
  try {
    fail(init);
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectError);
    return failureFromConnectError(error as ConnectError);
  }
}

describe("fail", () => {
  it.each([
    ["NETWORK", Code.Unavailable, "UNAVAILABLE", true],
    ["MEMORY", Code.ResourceExhausted, "RESOURCE_EXHAUSTED", true],
    ["VALIDATION", Code.InvalidArgument, "INVALID_ARGUMENT", false],
    ["MODEL", Code.FailedPrecondition, "FAILED_PRECONDITION", false],
    ["WORKFLOW", Code.Internal, "INTERNAL", true],
    ["SYSTEM", Code.Internal, "INTERNAL", true],
    ["UNKNOWN", Code.Unknown, "UNKNOWN", true],
  ] as const)("knows the code of %s", (category, code, reason, retryable) => {
    expect(failureOf({ category, message: "m" })).toMatchObject({
      category: FailureCategory[category],
      ...{ code, reason, retryable, message: "m", final: false },
    });
  });

  it("is a failure of the workflow where nothing is said but a message", () => {
    expect(failureOf({ message: "m" })).toMatchObject({ code: Code.Internal, category: FailureCategory.WORKFLOW });
  });

  it("is as bad out of memory as what is thrown", () => {
    expect(failureOf({ category: "MEMORY", message: "m" })?.severity).toBe(FailureSeverity.CRITICAL);
  });

  it("takes everything that is said", () => {
    const failure = failureOf({
      message: "m",
      code: Code.Aborted,
      category: "SYSTEM",
      severity: "CRITICAL",
      reason: "LICENCE_EXPIRED",
      retryable: true,
      retryDelayMs: 1500,
    });
    expect(failure).toMatchObject({
      code: Code.Aborted,
      category: FailureCategory.SYSTEM,
      severity: FailureSeverity.CRITICAL,
      reason: "LICENCE_EXPIRED",
      retryable: true,
      final: false,
    });
    expect(msFromDuration(failure?.retryDelay)).toBe(1500);
  });

  it.each([
    ["licence expired", "LICENCE_EXPIRED"],
    ["  3d-model: gone! ", "D_MODEL_GONE"],
    ["!!", "INTERNAL"],
    ["R".repeat(99), "R".repeat(63)],
  ])("makes a reason of %j that ErrorInfo allows", (reason, told) => {
    expect(failureOf({ message: "m", reason })?.reason).toBe(told);
  });

  it("does not fail for what a program without types says", () => {
    const told = (init: object) => failureOf({ message: "m", ...init } as FailInit);
    const own = { code: Code.Internal, category: FailureCategory.WORKFLOW, reason: "INTERNAL" };
    expect(told({ category: "GPU" })).toMatchObject(own);
    expect(told({ category: "3" })).toMatchObject({ code: Code.Internal });
    expect(told({ message: undefined, reason: 7 })).toMatchObject({ ...own, message: "" });
    expect(told({ code: 99 })).toMatchObject(own);
    expect(told({ severity: "AWFUL" })).toMatchObject({ severity: FailureSeverity.HIGH });
    expect(told({ retryDelayMs: Number.NaN })?.retryDelay).toBeUndefined();
    expect(told({ retryDelayMs: Number.POSITIVE_INFINITY })?.retryDelay).toBeUndefined();
    expect(msFromDuration(told({ retryDelayMs: 1e15 })?.retryDelay)).toBe(365 * 86_400_000);
  });

  it("shortens a message that trailers could not carry", () => {
    expect(failureOf({ message: "m".repeat(9999) })?.message).toHaveLength(2048);
  });
});
