import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { FailureCategory } from "../../gen/retake/v1/options_pb.js";
import { FailureSchema, FailureSeverity } from "../../gen/retake/v1/run_pb.js";
import { createFailure, errorFromFailure, failureFromConnectError, isInterruption } from "../../src/runs/failure.ts";
import { durationFromMs, msFromDuration } from "../../src/runs/time.ts";

describe("failureFromConnectError", () => {
  it.each([
    [Code.Unavailable, true, FailureCategory.NETWORK, FailureSeverity.MEDIUM, "UNAVAILABLE"],
    [Code.DeadlineExceeded, true, FailureCategory.NETWORK, FailureSeverity.MEDIUM, "DEADLINE_EXCEEDED"],
    [Code.InvalidArgument, false, FailureCategory.VALIDATION, FailureSeverity.LOW, "INVALID_ARGUMENT"],
    [Code.NotFound, false, FailureCategory.WORKFLOW, FailureSeverity.HIGH, "NOT_FOUND"],
    [Code.ResourceExhausted, true, FailureCategory.WORKFLOW, FailureSeverity.HIGH, "RESOURCE_EXHAUSTED"],
    [Code.Internal, true, FailureCategory.SYSTEM, FailureSeverity.HIGH, "INTERNAL"],
    [Code.DataLoss, true, FailureCategory.SYSTEM, FailureSeverity.CRITICAL, "DATA_LOSS"],
    [Code.Unknown, true, FailureCategory.UNKNOWN, FailureSeverity.HIGH, "UNKNOWN"],
  ])("reads what code %i says", (code, retryable, category, severity, reason) => {
    const failure = failureFromConnectError(new ConnectError("words", code));
    expect(failure).toMatchObject({ code, retryable, category, severity, reason, message: "words" });
    expect(failure.retryDelay).toBeUndefined();
  });

  it("takes the reason from ErrorInfo and the delay from RetryInfo, and keeps the details", () => {
    const error = new ConnectError("busy", Code.Unavailable, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "GPU_BUSY", domain: "studio" } },
      { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(1500) } },
    ]);
    const failure = failureFromConnectError(error);
    expect(failure.reason).toBe("GPU_BUSY");
    expect(msFromDuration(failure.retryDelay)).toBe(1500);
  });

  it("takes a Failure among the details as it is", () => {
    const own = createFailure({ code: Code.Aborted, reason: "MINE", message: "mine", retryable: false });
    expect(failureFromConnectError(errorFromFailure(own))).toMatchObject({ reason: "MINE", retryable: false });
  });
});

describe("a reason among the details", () => {
  const read = (code: Code, reason: string, domain: string) =>
    failureFromConnectError(
      new ConnectError("loading", code, undefined, [{ desc: ErrorInfoSchema, value: { reason, domain } }]),
    );

  it("is taken for ours only where it is", () => {
    const foreign = { reason: "MODEL_MISSING", category: FailureCategory.SYSTEM, retryable: true };
    expect(read(Code.Internal, "MODEL_MISSING", "acme.example")).toMatchObject(foreign);
    const own = { reason: "MODEL_MISSING", category: FailureCategory.MODEL, retryable: false };
    expect(read(Code.Internal, "MODEL_MISSING", "retake.v1")).toMatchObject(own);
  });

  it.each(["acme.example", "retake.v1"])("of %s leaves a code its meaning", (domain) => {
    expect(read(Code.Unavailable, "MODEL_MISSING", domain)).toMatchObject({
      ...{ category: FailureCategory.NETWORK, retryable: true },
    });
  });
});

describe("a Failure among the details", () => {
  const read = (code: number, message: string, own: MessageInitShape<typeof FailureSchema>) =>
    failureFromConnectError(new ConnectError(message, code, undefined, [{ desc: FailureSchema, value: own }]));

  it("says what it says, and its status the rest", () => {
    expect(read(Code.Unavailable, "gpu is busy", { reason: "GPU_BUSY" })).toMatchObject({
      ...{ code: Code.Unavailable, reason: "GPU_BUSY", message: "gpu is busy", retryable: true },
      ...{ category: FailureCategory.NETWORK, severity: FailureSeverity.MEDIUM },
    });
    const memory = { reason: "FULL", category: FailureCategory.MEMORY, retryable: true };
    expect(read(Code.ResourceExhausted, "no", memory)).toMatchObject({
      ...{ code: Code.ResourceExhausted, category: FailureCategory.MEMORY, retryable: true, message: "no" },
    });
    expect(read(Code.Internal, "no", { reason: "OUT_OF_MEMORY" })).toMatchObject({
      ...{ category: FailureCategory.MEMORY, severity: FailureSeverity.CRITICAL },
    });
    const whole = { code: Code.Aborted, message: "mine", category: FailureCategory.SYSTEM };
    expect(read(Code.Unavailable, "no", whole)).toMatchObject({ ...whole, reason: "ABORTED", retryable: false });
  });

  describe.each([
    ["nothing", {}],
    ["a reason", { reason: "BUSY" }],
    ["another attempt", { retryable: true }],
  ])("that says %s", (_, own: MessageInitShape<typeof FailureSchema>) => {
    const retryInfo = { desc: RetryInfoSchema, value: { retryDelay: { seconds: 5n } } };
    const readBeside = (
      metadata: Record<string, string>,
      details: readonly (typeof retryInfo)[] = [],
      nowMs?: number,
    ) =>
      failureFromConnectError(
        new ConnectError("busy", Code.Unavailable, metadata, [{ desc: FailureSchema, value: own }, ...details]),
        nowMs,
      );
    const delayOf = ({ retryDelay }: ReturnType<typeof read>) => retryDelay && msFromDuration(retryDelay);

    it("has the wait of RetryInfo, pushback and Retry-After", () => {
      expect(delayOf(readBeside({}, [retryInfo]))).toBe(5000);
      expect(delayOf(readBeside({ "grpc-retry-pushback-ms": "4000" }))).toBe(4000);
      expect(delayOf(readBeside({ "grpc-retry-pushback-ms": "0" }))).toBe(0);
      expect(delayOf(readBeside({ "retry-after": "Thu, 01 Jan 1970 00:00:03 GMT" }, [], 1000))).toBe(2000);
    });

    it("is final by its pushback, unless it says that another attempt may help", () => {
      const never = own.retryable !== true;
      expect(readBeside({ "grpc-retry-pushback-ms": "-1" })).toMatchObject({ retryable: !never, final: never });
    });
  });

  it("that has a wait goes before RetryInfo", () => {
    const error = new ConnectError("busy", Code.Unavailable, { "grpc-retry-pushback-ms": "4000" }, [
      { desc: FailureSchema, value: { retryDelay: { seconds: 1n } } },
      { desc: RetryInfoSchema, value: { retryDelay: { seconds: 5n } } },
    ]);
    expect(msFromDuration(failureFromConnectError(error).retryDelay)).toBe(1000);
  });

  it.each([
    ["0", true],
    ["-1", false],
  ])(
    "that has a code says itself whether it is retaken: not by the pushback %s that was made of it",
    (pushback, retryable) => {
      const error = new ConnectError("no", Code.Aborted, { "grpc-retry-pushback-ms": pushback }, [
        { desc: FailureSchema, value: { code: Code.Aborted, retryable } },
      ]);
      expect(failureFromConnectError(error)).toMatchObject({ retryable, final: false });
      expect(failureFromConnectError(error).retryDelay).toBeUndefined();
    },
  );

  it("without a reason has that of ErrorInfo, or of the words", () => {
    const memory = { category: FailureCategory.MEMORY, reason: "ACCELERATOR_OUT_OF_MEMORY" };
    expect(read(Code.Internal, "CUDA out of memory", {})).toMatchObject(memory);
    expect(read(Code.Internal, "CUDA out of memory", { code: Code.NotFound }).reason).toBe("NOT_FOUND");
    const ofInfo = (domain: string) =>
      failureFromConnectError(
        new ConnectError("no", Code.Internal, undefined, [
          { desc: FailureSchema, value: {} },
          { desc: ErrorInfoSchema, value: { reason: "MODEL_MISSING", domain } },
        ]),
      );
    const model = { reason: "MODEL_MISSING", category: FailureCategory.MODEL, retryable: false, final: false };
    expect(ofInfo("retake.v1")).toMatchObject(model);
    const foreign = { reason: "MODEL_MISSING", category: FailureCategory.SYSTEM, retryable: true };
    expect(ofInfo("acme.example")).toMatchObject(foreign);
  });

  it("is not believed what there is not", () => {
    const strange = { code: 99, category: 77 as FailureCategory, severity: -1 as FailureSeverity };
    const known = { category: FailureCategory.NETWORK, severity: FailureSeverity.MEDIUM };
    expect(read(Code.Unavailable, "no", strange)).toMatchObject({ code: Code.Unavailable, ...known });
    expect(read(99, "no", strange)).toMatchObject({ code: Code.Internal, category: FailureCategory.SYSTEM });
    expect(read(Code.Unavailable, "no", { final: true, retryable: true }).retryable).toBe(false);
  });

  it.each([
    ["before now", { seconds: -5n }, undefined],
    ["now", { seconds: 0n }, 0],
    ["in a thousand years", { seconds: 31_536_000_000n }, 365 * 86_400_000],
  ])("asks for another attempt %s, and callers hear of none that is not sane", (_, retryDelay, delayMs) => {
    const failure = read(Code.Unavailable, "no", { reason: "X", retryDelay });
    expect(failure.retryDelay && msFromDuration(failure.retryDelay)).toBe(delayMs);
    expect(errorFromFailure(failure).metadata.get("grpc-retry-pushback-ms")).toBe(String(delayMs ?? 0));
  });
});

describe("an error with a code that there is not", () => {
  it.each([0, 17, -1, 1.5, Number.NaN])("is INTERNAL: %d", (code) => {
    expect(failureFromConnectError(new ConnectError("x", code))).toMatchObject({
      ...{ code: Code.Internal, reason: "INTERNAL", category: FailureCategory.SYSTEM, message: "x" },
    });
  });
});

describe("errorFromFailure", () => {
  it("tells callers whether and when to come back", () => {
    const later = errorFromFailure(
      createFailure({ code: Code.Unavailable, reason: "X", message: "m", retryDelayMs: 1200.5 }),
    );
    expect(later.metadata.get("grpc-retry-pushback-ms")).toBe("1201");
    expect(later.findDetails(RetryInfoSchema)).toHaveLength(1);
    const never = errorFromFailure(createFailure({ code: Code.NotFound, reason: "X", message: "m" }));
    expect(never.metadata.get("grpc-retry-pushback-ms")).toBe("-1");
    expect(never.findDetails(FailureSchema)[0]?.reason).toBe("X");
    expect(never.findDetails(ErrorInfoSchema)[0]).toMatchObject({ reason: "X", domain: "retake.v1" });
  });
});

describe("isInterruption", () => {
  it("is what ended with the process", () => {
    const failure = (reason: string) => createFailure({ code: Code.Unavailable, reason, message: "" });
    expect(isInterruption(failure("INTERRUPTED"))).toBe(true);
    expect(isInterruption(failure("HANDED_BACK"))).toBe(true);
    expect(isInterruption(failure("ATTEMPT_TIMEOUT"))).toBe(false);
    expect(isInterruption(undefined)).toBe(false);
  });
});
