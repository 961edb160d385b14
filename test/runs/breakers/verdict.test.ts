import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { createFailure, type Outcome, verdictOf } from "../../../src/runs/index.ts";

const failed = (code: Code, category?: FailureCategory): Outcome => ({
  kind: "failed",
  failure: createFailure({ code, reason: "X", message: "x", ...(category === undefined ? {} : { category }) }),
});
const free = { abortReason: undefined };

describe("what an attempt's end says of its back-end", () => {
  it.each([
    Code.Unknown,
    Code.DeadlineExceeded,
    Code.ResourceExhausted,
    Code.Aborted,
    Code.Unimplemented,
    Code.Internal,
    Code.Unavailable,
    Code.DataLoss,
  ])("is that it is in trouble by code %i", (code) => {
    expect(verdictOf(failed(code), free)).toBe("failure");
  });

  it.each([
    Code.Canceled,
    Code.InvalidArgument,
    Code.NotFound,
    Code.AlreadyExists,
    Code.PermissionDenied,
    Code.FailedPrecondition,
    Code.OutOfRange,
    Code.Unauthenticated,
  ])("is nothing by code %i", (code) => {
    expect(verdictOf(failed(code), free)).toBeUndefined();
  });

  it("is nothing where the request was wrong, whatever the code", () => {
    expect(verdictOf(failed(Code.Internal, FailureCategory.VALIDATION), free)).toBeUndefined();
  });

  it.each([Code.FailedPrecondition, Code.NotFound, Code.PermissionDenied])(
    "is that it is in trouble by code %i where its model is not there, which no caller can help",
    (code) => {
      expect(verdictOf(failed(code, FailureCategory.MODEL), free)).toBe("failure");
    },
  );

  it("is that it is well by a result", () => {
    const result = { $typeName: "retake.v1.Payload" } as Extract<Outcome, { kind: "succeeded" }>["result"];
    expect(verdictOf({ kind: "succeeded", result }, free)).toBe("success");
  });

  it.each([
    [Code.Canceled, undefined],
    [Code.DeadlineExceeded, undefined],
    [Code.Aborted, undefined],
    [Code.Unavailable, "failure"],
  ])("depends on why it was aborted (%i): only its own time says something", (code, verdict) => {
    expect(verdictOf(failed(Code.Unavailable), { abortReason: new ConnectError("stop", code) })).toBe(verdict);
  });

  it("is nothing where no attempt was made, or it was handed back", () => {
    expect(verdictOf({ kind: "blocked", gate: "server", reason: "" }, free)).toBeUndefined();
    const failure = createFailure({ code: Code.Unavailable, reason: "HANDED_BACK", message: "" });
    expect(verdictOf({ kind: "interrupted", failure }, free)).toBeUndefined();
  });
});
